"""The audit of a job: a fair sample, keyed blind twice, what it promises, when that ends, and what watches it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forms.made import page_of

from inkdigits.cli.main import main
from inkdigits.errors import FormError
from inkdigits.evaluation.selective import promise
from inkdigits.forms import audit
from inkdigits.forms.fields import FieldReading
from inkdigits.forms.job import Job
from inkdigits.forms.read import Basis

OLD, NEW = Basis("weights a", "digit 1, line 1", ""), Basis("weights b", "digit 1, line 1", "")


@pytest.fixture
def job(folder: Path, tmp_path: Path) -> Job:
    return Job.begin(tmp_path / "job", folder)


def run(monkeypatch: pytest.MonkeyPatch, *words: str, code: int = 0) -> None:
    monkeypatch.setattr("sys.argv", ["inkdigits", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code or 0) == code


def add(
    job: Job, numbers: range, basis: Basis = OLD, change: Callable[[FieldReading], FieldReading] = lambda each: each
) -> None:
    """Add forms of 45 empty fields, each read with a confidence of 0.9995 and accepted; `change` alters readings."""
    for number in numbers:
        answer = page_of(job.form, f"{number}.png", {})
        readings = [change(replace(each, confidence=0.9995, accepted=True)) for each in answer.pages[0].readings]
        basis = replace(basis, template=job._template)
        job.add(replace(answer, pages=[replace(answer.pages[0], readings=readings)]), basis)


def key_all(job: Job, texts: Callable[[str], str] = lambda name: "", *reviewers: str) -> list[tuple[str, int]]:
    """Key what each reviewer is given, in turn, until nobody is given anything; return who keyed which field."""
    keyed = []
    waiting = list(reviewers or ("ann", "ben"))
    while waiting:
        tasks = job.tasks(waiting[0], 1)
        if not tasks:
            waiting.pop(0)
            continue
        keyed.append((waiting[0], tasks[0].field))
        job.key(tasks[0].field, texts(tasks[0].name), waiting[0])
    return keyed


def test_a_random_sample_is_keyed_twice_and_promises(
    job: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 45 fields on each of 12 forms one is read wrong with a confidence of 0.955, all others right with 0.9995."""

    def as_read(each: FieldReading) -> FieldReading:
        return replace(each, text="4.6", confidence=0.955) if each.name == "fridge" else each

    add(job, range(12), change=as_read)
    run(monkeypatch, "form", "promise", str(job.folder), "--risk", "0.01", "--sample", "400", "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["read"]["threshold"], said["left"], said["read"]["n_missing"]) == (None, 400, 400)
    assert said["kept"] is None
    keyed = key_all(job, lambda name: "4.5" if name == "fridge" else "")
    assert len(keyed) == 800
    assert len(set(keyed)) == 400 or {who for who, _ in keyed} == {"ann", "ben"}
    found = job.promise(0.01)
    assert found.read.threshold is not None
    assert 0.955 < found.read.threshold <= 0.999
    assert (found.read.n, found.read.n_wrong, found.read.delta) == (400, 0, 0.05)
    assert found.coverage == pytest.approx(44 / 45)
    run(monkeypatch, "form", "promise", str(job.folder), "--risk", "0.01", "--keep")
    said = capsys.readouterr()
    assert said.out.startswith("promise: at most 1 % wrong (95 % sure) at threshold 0.96, 97.8 % accepted")
    left = [each for answer in job.answers() for each in answer.readings if not each.accepted]
    assert f"{len(left)} more fields to key" in said.err
    assert {each.name for each in left} == {"fridge"}
    # Whoever was audited wrong is put right by the two keyings.
    fixed = [each for answer in job.answers() for each in answer.readings if each.name == "fridge" and each.accepted]
    assert {each.text for each in fixed} == {"4.5"}
    for words in ([], ["--risk", "0.01"], ["--risk", "0.01", "--delta", "0.05"]):
        run(monkeypatch, "form", "promise", str(job.folder), *words)
        assert re.search(r"given on 20..-..-.. for 12 forms by a sample of 400 fields$", capsys.readouterr().out)
    run(monkeypatch, "form", "promise", str(job.folder), "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["kept"]["forms"], said["kept"]["watch"]["n"], said["read"]["n"]) == (12, 0, 400)


def test_two_keyings_must_agree_and_a_third_decides(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    add(job, range(1))
    assert job.draw_audit(1, 0.5) == 1
    (task,) = job.tasks("ann", 9)
    outcome = job.key(task.field, "8", "ann")
    assert (outcome.accepted, outcome.read) == (True, None)  # nothing of what was read is shown
    assert job.tasks("ann", 9) == []  # not by the same person at once
    assert [each.field for each in job.tasks("ben", 9)] == [task.field]
    job.key(task.field, "", "ben")
    assert job.progress().audits_left == 1
    assert job.promise(0.5).read.n_missing >= 1
    assert job.tasks("ben", 9) == []
    (again,) = job.tasks("cid", 9)
    job.key(again.field, "8", "cid")
    assert job.progress().audits_left == 0
    (answer,) = job.answers()
    assert {each.text for each in answer.readings} == {"", "8"}
    assert job.promise(0.5).read.n_wrong == 0  # nothing is promised yet
    job.undo("cid")
    assert job.progress().audits_left == 1
    now = audit.time.time()
    monkeypatch.setattr("time.time", lambda: now + audit.APART_S + 1)
    assert [each.field for each in job.tasks("ann", 9)] == [task.field]  # the same person, after a while


def test_one_person_keys_a_field_again_after_others(job: Job) -> None:
    add(job, range(1))
    job.draw_audit(40, 0.5)
    order = [field for _, field in key_all(job, lambda name: "", "ann")]
    for field in set(order):
        first, *more = [place for place, each in enumerate(order) if each == field]
        assert all(place - first > audit.APART for place in more)
    assert len(order) >= 70


def test_errors_of_whole_pages_do_not_break_the_promise() -> None:
    """2,000 simple random samples of 400 of 12,000 fields; of every tenth page a ninth of the fields is wrong."""
    rng = np.random.default_rng(6)
    pages = np.repeat(np.arange(300), 40)
    wrong = np.isin(pages, rng.choice(300, 30, replace=False)) & (rng.random(12_000) < 0.11)
    risk = wrong.mean() * 0.99  # what is promised is just not so
    draws = 2000
    samples = (rng.choice(12_000, 400, replace=False) for _ in range(draws))
    broken = sum(promise(np.ones(400), ~wrong[sample], risk, 0.05).threshold is not None for sample in samples)
    assert broken / draws <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_lots_are_even_and_depend_on_scan_and_name_alone() -> None:
    lots = np.array([audit.lot_of(f"{page:064x}", f"cases_{i}_1") for page in range(100) for i in range(100)])
    assert np.abs(np.histogram(lots, 20, (0, 1))[0] - 500).max() < 110
    assert audit.lot_of("a", "b") == audit.lot_of("a", "b") != audit.lot_of("b", "b")


def test_forms_that_are_read_later_join_the_sample_by_their_lots(job: Job) -> None:
    add(job, range(4))
    assert job.draw_audit(90, 0.05) == 90
    add(job, range(4, 8))
    n = job.progress().audits_left
    assert 150 < n < 220  # half of all accepted fields, old and new
    assert job.draw_audit(None, 0.05) == 0
    with job._session() as connection:
        shares = connection.execute(
            "SELECT form <= 4, avg(id IN (SELECT field FROM audit)) FROM fields GROUP BY 1"
        ).fetchall()
    assert all(0.35 < share < 0.65 for _, share in shares)


def test_repaired_values_have_a_sample_and_a_promise_of_their_own(job: Job) -> None:
    def as_read(each: FieldReading) -> FieldReading:
        return replace(each, text="4.6", is_repaired=True) if each.name == "fridge" else each

    add(job, range(40), change=as_read)
    n = job.draw_audit(100, 0.05)
    assert n == 100 + audit.LEAST_REPAIRED
    key_all(job, lambda name: "4.5" if name == "fridge" else "")
    found = job.promise(0.05)
    assert found.read.threshold is not None
    assert (found.read.n, found.read.n_wrong) == (100, 0)
    assert found.repaired is not None
    assert (found.repaired.threshold, found.repaired.n) == (None, audit.LEAST_REPAIRED)
    assert "repaired values are keyed" in str(found)
    assert job.keep_promise(found) == 40 - audit.LEAST_REPAIRED  # the others of them are to be keyed


def test_a_second_look_is_less_sure(
    job: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(job, range(6))
    job.draw_audit(70, 0.05)
    key_all(job)
    assert job.promise(0.05).read.delta == 0.05
    job.draw_audit(90, 0.05)
    job.draw_audit(100, 0.05)  # the second look was not taken yet
    assert job.promise(0.05).read.threshold is None
    key_all(job)
    found = job.promise(0.05)
    assert (found.read.n, found.read.delta) == (100, 0.1)
    assert "(90 % sure)" in str(found)
    # What was asked for is not forgotten for that: no sample is drawn when the same is asked again.
    run(monkeypatch, "form", "promise", str(job.folder), "--risk", "0.05", "--keep")
    capsys.readouterr()
    for words in ([], ["--risk", "0.05"], ["--risk", "0.05", "--delta", "0.05"]):
        run(monkeypatch, "form", "promise", str(job.folder), *words)
        said = capsys.readouterr()
        assert said.out.startswith("promise: at most 5 % wrong (90 % sure)")
        assert "for 6 forms by a sample of 100 fields" in said.out
        assert said.err == ""
    run(monkeypatch, "form", "promise", str(job.folder), "--risk", "0.05", "--delta", "0.04", "--keep")
    capsys.readouterr()
    run(monkeypatch, "form", "promise", str(job.folder), "--risk", "0.05", "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["asked"], said["read"]["delta"]) == (0.04, 0.08)


def test_a_promise_ends_with_the_weights_it_was_given_for(
    job: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def less_sure(each: FieldReading) -> FieldReading:
        return replace(each, confidence=0.952) if each.name == "fridge" else each

    assert (job.standing().said, job.standing().alarm) == ("", "")
    add(job, range(4), change=less_sure)
    with job._session() as connection, connection:
        connection.execute("UPDATE fields SET lot = lot / 2 + (name = 'fridge') / 2.0")  # those come last
    job.draw_audit(70, 0.05)
    assert job.standing().said == "cannot promise yet: 70 checked fields to key, each twice"
    key_all(job)
    found = job.promise(0.05)
    job.keep_promise(replace(found, read=replace(found.read, threshold=0.96)))
    assert job.standing().said.startswith("promise: at most 5 % wrong (95 % sure) at threshold 0.96")
    assert "for 4 forms" in job.standing().said
    assert job.standing().alarm == ""
    add(job, range(4, 6), change=less_sure)
    assert job.progress().doubts_left == 6  # the promise holds for what the same weights read
    add(job, range(6, 7), NEW, less_sure)
    assert job.progress().doubts_left == 6  # and says nothing of what others read
    assert job.standing().alarm.startswith("withdrawn: other weights than when it was given (20")
    assert job.standing().said.startswith("no promise of at most 5 % wrong is possible")  # one form is too few
    add(job, range(7, 9), NEW, less_sure)
    run(monkeypatch, "form", "promise", str(job.folder))
    said = capsys.readouterr()
    assert "withdrawn: other weights" in said.err
    assert said.out.strip() == "cannot promise yet: 59 more checked fields, all right"
    (job.folder / "form" / "form.json").write_text(
        json.dumps(json.loads((job.folder / "form" / "form.json").read_text()) | {"title": "Another"})
    )
    job.close()
    assert "other weights and template" in Job(job.folder).standing().alarm


def test_more_errors_than_promised_on_later_pages_raise_a_flag(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "WATCHED", 0.5)
    add(job, range(4))
    job.draw_audit(70, 0.05)
    key_all(job)
    found = job.promise(0.05)
    job.keep_promise(found)
    kept = job.kept_promise()
    assert kept is not None
    assert kept.stated == found  # it says as well how many fields could still be drawn
    add(job, range(4, 44))
    n_left = job.progress().audits_left
    assert 10 < n_left < 30  # a field of every second page, of none two
    key_all(job)
    assert job.standing().alarm == ""
    assert f"since then 0 of {n_left} wrong" in job.standing().said
    add(job, range(44, 84))
    key_all(job, lambda name: "1")  # the forms are filled in, and nothing was seen
    assert job.standing().alarm.startswith("drift: ")


def test_no_promise_is_kept_that_was_not_given(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.add(page_of(job.form, "a.png", {}))
    with pytest.raises(FormError, match=r"no promise of at most 0\.5 % wrong is possible"):
        job.keep_promise(job.promise(0.005))
    monkeypatch.setattr("sys.argv", ["inkdigits", "form", "promise", str(job.folder), "--risk", "2"])
    with pytest.raises(SystemExit, match="2"):
        main()


def test_to_look_draws_nothing(job: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    look = ("form", "promise", str(job.folder))
    add(job, range(4))
    run(monkeypatch, *look)
    assert capsys.readouterr().out.startswith("no promise was asked for; `inkdigits form promise ")
    run(monkeypatch, *look, "--json")
    assert json.loads(capsys.readouterr().out)["read"] is None
    assert job.progress().audits_left == 0
    run(monkeypatch, *look, "--risk", "0.05")
    said = capsys.readouterr()
    assert said.out == "cannot promise yet: 118 checked fields to key, each twice\n"
    assert said.err.startswith(
        "118 fields drawn at random\n118 fields to check, each keyed twice; next: inkdigits form"
    )
    for more in (["--sample", "130"], ["--keep"], ["--delta", "0.1"]):
        run(monkeypatch, *look, *more, code=2)
        assert "--delta, --sample and --keep belong to --risk" in capsys.readouterr().err
    key_all(job)
    run(monkeypatch, *look)
    said = capsys.readouterr()
    assert said.out.endswith("(0 of 118 checked fields wrong) (not kept)\n")
    assert said.err == f"next: inkdigits form promise {job.folder} --risk 0.05 --keep\n"
    assert job.progress().audits_left == 0


def test_a_field_accepted_after_another_was_keyed_joins_the_sample_at_once(job: Job) -> None:
    """The sum of a form does not hold; a person keys one of its fields, and the others are accepted."""
    add(job, range(4))
    answer = page_of(job.form, "a.png", {"cases_1_1": ("12", 1.0), "total": ("13", 1.0)})
    job.add(answer, replace(OLD, template=job._template))
    with job._session() as connection, connection:
        connection.execute("UPDATE fields SET lot = 0.0 WHERE form = 5 AND name = 'total'")
    assert job.draw_audit(60, 0.5) == 60
    (task,) = [each for each in job.tasks("ann", 99) if each.problem and each.name == "cases_1_1"]
    job.key(task.field, "13", "ann")
    job.key(task.field, "13", "ben")
    with job._session() as connection:
        left_out = connection.execute(
            """SELECT count(*) FROM fields WHERE accepted AND name <> 'cases_1_1'
               AND id NOT IN (SELECT field FROM audit)
               AND lot < (SELECT max(lot) FROM audit JOIN fields ON fields.id = field)"""
        ).fetchone()
    assert job.progress().audits_left > 60
    assert left_out == (0,)
    assert job.draw_audit(None, 0.5) == 0


def test_a_job_that_is_too_small_says_so(
    job: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ("form", "promise", str(job.folder), "--risk")
    add(job, range(2))
    run(monkeypatch, *ask, "0.01", code=1)
    assert capsys.readouterr().err == (
        "error: the job has 90 accepted fields to check, and at most 1 % wrong takes 299 at least; "
        "ask for --risk 0.033 or more, or read more pages\n"
    )
    run(monkeypatch, *ask, "0.05", "--sample", "100000", code=1)
    assert capsys.readouterr().err == "error: the job has 90 accepted fields to check, not 100,000\n"
    assert job.progress().audits_left == 0
    assert job.asked_promise() is None
    run(monkeypatch, *ask, "0.05")  # twice the fewest would be 118
    assert job.progress().audits_left == 90
    key_all(job, lambda name: "1" if name in ("fridge", "total", "cases_1_1") else "")
    capsys.readouterr()
    run(monkeypatch, *ask, "0.05")
    said = capsys.readouterr()
    assert re.fullmatch(
        r"no promise of at most 5 % wrong is possible: it takes \d+ more checked fields, all right, and the job has 0 "
        r"left; a larger --risk would help, or more pages\n",
        said.out,
    )
    assert said.err == ""  # nothing is advised that cannot be done


def test_a_folder_that_is_no_job_is_an_error(
    job: Job, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job.close()
    (job.folder / "job.sqlite3").unlink()
    for path in (job.folder, folder):
        run(monkeypatch, "form", "promise", str(path), code=1)
        assert capsys.readouterr().err == f"error: {path}: not a job; `inkdigits form read` makes one\n"
    assert not (job.folder / "job.sqlite3").exists()
