"""Evaluations and comparisons: their figures against loops over the examples, their words, and no TensorFlow."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from click.testing import Result
from evaluation.helpers import N, made_up
from typer.testing import CliRunner

from inkdigits.cli.main import app
from inkdigits.data.idx import idx_sha256
from inkdigits.data.splits import DIGITS, Split
from inkdigits.errors import DataError, RunError
from inkdigits.evaluation.cells import evaluate_cells
from inkdigits.evaluation.comparison import Comparison, compare
from inkdigits.evaluation.digits import Evaluation, evaluate, load_test
from inkdigits.evaluation.outliers import evaluate_outliers
from inkdigits.evaluation.text import p_in_words, percent
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Classified, NumberReading, PageReading


def test_figures_are_what_a_loop_over_the_examples_counts() -> None:
    evaluation = made_up(1, 0.8, threshold=0.6)
    wrong = accepted = wrong_accepted = 0
    loss = 0.0
    for truth, p in zip(evaluation.split.labels, evaluation.answers.probabilities, strict=True):
        answer = max(range(10), key=lambda k: p[k])
        wrong += answer != truth
        loss -= math.log(p[truth]) / N
        if max(p) >= 0.6:
            accepted += 1
            wrong_accepted += answer != truth
    assert 0 < wrong_accepted < wrong
    assert 0 < accepted < N
    assert evaluation.n_errors == wrong
    assert evaluation.accuracy == pytest.approx(1 - wrong / N)
    assert evaluation.loss == pytest.approx(loss)
    assert evaluation.coverage == pytest.approx(accepted / N)
    assert evaluation.n_errors_accepted == wrong_accepted
    assert evaluation.error_rate_accepted == pytest.approx(wrong_accepted / accepted)


def test_text_tells_the_figures_in_words() -> None:
    evaluation = made_up(1, 0.8)
    truth, answer, count = evaluation.confused[0]
    text = str(evaluation)
    assert f"{evaluation.n_errors} errors in 400" in text
    assert f"{truth} read as {answer}: {count} times" in text
    assert "accepted" not in text  # no threshold: nothing is rejected


def test_text_speaks_of_acceptance_where_there_is_a_threshold() -> None:
    assert "accepted" in str(made_up(1, 0.8, threshold=0.6))


def test_none_accepted_is_no_division_by_zero() -> None:
    evaluation = made_up(1, 0.8, threshold=1.1)
    assert math.isnan(evaluation.error_rate_accepted)
    assert "- (0 of 0)" in str(evaluation)


def test_json_is_strict_and_complete() -> None:
    evaluation = made_up(1, 0.8, n=12)  # twelve examples cannot hold every class twice: some figures are missing
    text = json.dumps(evaluation.to_dict(), allow_nan=False)
    figures = json.loads(text)
    assert sum(map(sum, figures["confusion_matrix"])) == figures["n"] == 12
    assert figures["errors"] == sum(pair["count"] for pair in figures["confused"])
    assert figures["classes"][3]["class"] == "3"
    assert any(row["recall"] is None for row in figures["classes"])


def test_worst_errors_are_wrong_and_in_order() -> None:
    evaluation = made_up(1, 0.5)
    worst = evaluation.worst_errors(30)
    confidence = evaluation.answers.confidence
    assert len(worst) == 30
    assert not evaluation.right[worst].any()
    assert (np.diff(confidence[worst]) <= 0).all()
    assert confidence[worst].min() >= max(
        confidence[i] for i in range(N) if not evaluation.right[i] and i not in set(worst.tolist())
    )


def test_a_perfect_model_has_no_errors_to_show() -> None:
    evaluation = made_up(1, 1.0)
    good = Evaluation(
        "perfect", {}, evaluation.split, Classified(evaluation.split.labels, *_rest(evaluation.split.labels))
    )
    assert len(good.worst_errors(30)) == 0
    assert "nothing was confused" in str(good)


def _rest(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    probabilities = np.eye(10)[labels]
    return probabilities, probabilities.max(axis=1), np.ones(len(labels), bool)


def test_comparison_counts_as_a_loop_does() -> None:
    a, b = made_up(1, 0.6), made_up(2, 0.8)
    comparison = compare(a, b)
    fixed = broken = 0
    for right_a, right_b in zip(a.right, b.right, strict=True):
        fixed += bool(right_b and not right_a)
        broken += bool(right_a and not right_b)
    assert (comparison.n_fixed, comparison.n_broken) == (fixed, broken)
    assert comparison.difference == pytest.approx(b.accuracy - a.accuracy)
    low, high = comparison.interval
    assert low < comparison.difference < high
    assert comparison.p < 0.001
    assert sum(change.n_fixed for change in comparison.classes) == fixed
    assert sum(change.errors[0] for change in comparison.classes) == a.n_errors
    assert sum(change.errors[1] for change in comparison.classes) == b.n_errors


def test_comparison_the_other_way_round_mirrors_it() -> None:
    there, back = compare(made_up(1, 0.6), made_up(2, 0.8)), compare(made_up(2, 0.8), made_up(1, 0.6))
    assert back.difference == pytest.approx(-there.difference)
    assert back.p == pytest.approx(there.p)
    opposite = {"better": "worse", "worse": "better", "alike": "alike"}
    assert [change.verdict for change in back.classes] == [opposite[change.verdict] for change in there.classes]


def test_a_model_against_itself_is_alike_everywhere() -> None:
    comparison = compare(made_up(1, 0.6), made_up(1, 0.6))
    assert comparison.difference == 0
    assert comparison.p == 1
    assert comparison.pairs == []
    assert "not significant" in str(comparison)


def test_comparison_in_words_and_json() -> None:
    comparison = compare(made_up(1, 0.4), made_up(2, 0.9))
    truth, answer, before, after = comparison.pairs[0]
    assert f"{truth} read as {answer}: {before} -> {after} times" in str(comparison)
    assert ": significant (McNemar's exact p < 0.0001)" in str(comparison)
    figures = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert figures["fixed"] == comparison.n_fixed
    assert figures["classes"][0]["verdict"] in ("better", "worse", "alike")


def test_verdicts_name_the_digit_that_changed() -> None:
    base = made_up(1, 0.95)
    labels = base.split.labels
    spoilt = np.where(labels == 4, 9, base.answers.labels)
    worse = Evaluation("spoilt", {}, base.split, Classified(spoilt, *_rest(spoilt)))
    comparison = Comparison(base, worse)
    assert [change.name for change in comparison.classes if change.verdict == "worse"] == ["4"]
    assert comparison.pairs[0][:2] == ("4", "9")


def test_different_examples_are_not_compared() -> None:
    with pytest.raises(DataError, match="same examples"):
        compare(made_up(1, 0.5), made_up(2, 0.5, n=100))


@pytest.mark.parametrize(("p", "words"), [(0.00001, "< 0.0001"), (0.03121, "= 0.0312"), (0.5, "= 0.50")])
def test_p_in_words(p: float, words: str) -> None:
    assert p_in_words(p) == words


def test_percent() -> None:
    assert percent(0.99314) == "99.31 %"
    assert percent(math.nan) == "-"


def test_evaluate_asks_the_reader(tiny_model: Path) -> None:
    reader = Reader(tiny_model)
    images = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)
    answers = reader.classify(images)
    split = Split(images, answers.labels, "test", DIGITS, "random", "0")
    assert evaluate(reader, split).accuracy == 1
    shifted = Split(images, (answers.labels + 1) % 10, "test", DIGITS, "random", "0")
    assert evaluate(reader, shifted).accuracy == 0


def test_evaluate_refuses_other_classes_and_empty_splits(tiny_model: Path) -> None:
    reader = Reader(tiny_model)
    images, labels = np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int64)
    with pytest.raises(DataError, match="3 classes"):
        evaluate(reader, Split(images, labels, "test", ("a", "b", "c"), "three.npz", "0"))
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate(reader, Split(images[:0], labels[:0], "test", DIGITS, "empty.npz", "0"))


def test_evaluate_needs_no_tensorflow(tiny_model: Path) -> None:
    code = f"""
import sys
import numpy as np
from inkdigits import Reader, Split
from inkdigits.evaluation.comparison import compare
from inkdigits.evaluation.digits import evaluate
split = Split(np.zeros((20, 28, 28), np.uint8), np.arange(20) % 10, "test", tuple("0123456789"), "blank", "0")
evaluation = evaluate(Reader({str(tiny_model)!r}), split)
print(str(evaluation)[:1], str(compare(evaluation, evaluation))[:1], len(evaluation.to_dict()) > 5)
print(sorted(sys.modules.keys() & {{"tensorflow", "keras", "matplotlib", "sklearn", "scipy"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def save_pictures(path: Path, split: Split, larger: int = 1) -> Path:
    """Save a split as a .npz of x and y, each pixel `larger` times as large."""
    np.savez(path, x=split.images.repeat(larger, 1).repeat(larger, 2), y=split.labels)
    return path


def test_pictures_are_framed_unless_they_are(tiny_model: Path, toy: tuple[Split, Split], tmp_path: Path) -> None:
    reader = Reader(tiny_model)
    large = save_pictures(tmp_path / "large.npz", toy[1], larger=3)
    split = load_test(large, reader)
    assert split.images.shape == (200, 28, 28)
    assert split.sha256 == idx_sha256(np.load(large)["x"])  # of the file, however it is framed
    np.testing.assert_array_equal(split.images[5], reader.frame(toy[1].images[5].repeat(3, 0).repeat(3, 1)))
    framed = save_pictures(tmp_path / "framed.npz", split)
    for how in ("auto", "yes", "no"):
        np.testing.assert_array_equal(load_test(framed, reader, how).images, split.images)
    with pytest.raises(DataError, match="84 x 84 are not framed"):
        load_test(large, reader, "yes")


def test_unframed_pictures_of_the_right_size_are_taken_at_their_word(tiny_model: Path, tmp_path: Path) -> None:
    reader = Reader(tiny_model)
    images = np.zeros((3, 28, 28), np.uint8)
    images[:, 2:6, 2:4] = 200  # a dash in a corner: nothing that MNIST's form would hold
    np.savez(tmp_path / "dash.npz", x=images, y=np.ones(3, np.int64))
    np.testing.assert_array_equal(load_test(tmp_path / "dash.npz", reader, "yes").images, images)
    assert not np.array_equal(load_test(tmp_path / "dash.npz", reader).images, images)


def test_files_without_truth_or_with_unknown_classes(tiny_model: Path, tmp_path: Path) -> None:
    reader, images = Reader(tiny_model), np.zeros((2, 28, 28), np.uint8)
    np.savez(tmp_path / "blind.npz", x=images)
    with pytest.raises(DataError, match="has no array y"):
        load_test(tmp_path / "blind.npz", reader)
    np.savez(tmp_path / "eleven.npz", x=images, y=np.array([3, 10]))
    with pytest.raises(DataError, match="y holds 10"):
        load_test(tmp_path / "eleven.npz", reader)


def test_outliers_are_told_from_digits_by_confidence(
    tiny_model: Path, toy: tuple[Split, Split], tmp_path: Path
) -> None:
    reader = Reader(tiny_model)
    np.savez(tmp_path / "blank.npz", x=np.zeros((40, 28, 28), np.uint8))
    inside = reader.classify(toy[1].images).confidence
    found = evaluate_outliers(reader, tmp_path / "blank.npz", inside)
    # The blank page gets a tenth for each digit; anything with ink gets more.
    assert (found.n, found.auroc, found.fpr_at_95) == (40, 1.0, 0.0)
    assert found.accepted == 1  # the card's threshold is 0
    assert "against 40 of" in str(found)


class Cells:
    """Stands for a Reader: reads what the file's name says, and nothing in what is called blank."""

    def read_many(self, images: list[Path], layout: str) -> list[PageReading]:
        assert layout == "number"
        return [PageReading(9, 9, ()) if p.name == "blank" else self.page(p.name) for p in images]

    def page(self, name: str) -> PageReading:
        text, confidence = name.split("_")
        digits = "".join(c for c in text if c.isdigit())
        return PageReading(9, 9, (NumberReading(text, digits, float(confidence), float(confidence) > 0.5, ()),))


def test_cells_are_scored_as_strings_digits_and_edits(tmp_path: Path) -> None:
    truth = {
        "10.200_0.9": "10,200",  # comma and dot are alike
        "102_0.8": "1.02",  # digits right, string wrong
        "77_0.6": "17",  # one digit wrong
        "5_0.4": "55",  # one missing, and rejected
        "blank": "304",  # nothing read
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    cells = evaluate_cells(cast(Reader, Cells()), tmp_path)
    figures = json.loads(json.dumps(cells.to_dict(), allow_nan=False))
    assert figures["string_exact"] == pytest.approx(1 / 5)
    assert figures["digits_exact"] == pytest.approx(2 / 5)
    assert (figures["edit_distance"], figures["n_digits"]) == (5, 15)
    assert figures["coverage"] == pytest.approx(3 / 5)
    assert figures["accuracy_accepted"] == pytest.approx(2 / 3)
    assert figures["string_accuracy_accepted"] == pytest.approx(1 / 3)
    assert "of these 66.67 % have the digits right, 33.33 % the string" in str(cells)
    assert figures["accuracy_surest_half"] == 1
    assert "edit distance      5 in 15 digits (33.33 %)" in str(cells)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), ("{", "not JSON"), ("[]", "must be one object"), ('{"a": 1}', "string")],
)
def test_cells_without_a_usable_truth(content: str | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "truth.json").write_text(content)
    with pytest.raises(DataError, match=says):
        evaluate_cells(cast(Reader, Cells()), tmp_path)


def run_cli(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_evaluate_command(tiny_model: Path, toy_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    told = run_cli("evaluate", str(tiny_model), "--data", str(toy_folder), "--report", str(page))
    assert told.exit_code == 0
    assert "200 test images" in told.stdout
    assert "report:" not in told.stdout  # chatter is stderr's
    assert page.read_text().startswith("<!doctype html>")
    figures = json.loads(run_cli("evaluate", "--model", str(tiny_model), "--data", str(toy_folder), "--json").stdout)
    assert figures["n"] == 200
    assert f"{figures['errors']} errors in 200" in told.stdout


def test_evaluate_command_on_a_run_needs_no_extra(tiny_model: Path, toy_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "linear-1"
    run.mkdir(parents=True)
    (run / "model.onnx").write_bytes(tiny_model.read_bytes())
    # The data are the run's own, unless others are given.
    (run / "run.json").write_text(json.dumps({"format": 1, "data": {"path": str(toy_folder)}}))
    code = f"""
import sys
missing = "tensorflow keras matplotlib seaborn jinja2 scipy sklearn onnx"
sys.modules.update(dict.fromkeys(missing.split()))
sys.argv = ["inkdigits", "evaluate", "linear-1", "--runs", {str(run.parent)!r}]
from inkdigits.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "errors in 200" in done.stdout


def test_compare_command(tiny_model: Path, toy_folder: Path, tmp_path: Path) -> None:
    words = ("compare", str(tiny_model), str(tiny_model), "--data", str(toy_folder))
    told = run_cli(*words, "--report", str(tmp_path / "page.html"))
    assert told.exit_code == 0
    assert "difference +0.00 points" in told.stdout
    assert "side by side" in (tmp_path / "page.html").read_text()
    assert json.loads(run_cli(*words, "--json").stdout)["p"] == 1


def test_evaluate_takes_one_model() -> None:
    assert run_cli("evaluate", "a", "--model", "b").exit_code == 2


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run"):
        CliRunner().invoke(app, ["evaluate", "nowhere", "--runs", str(tmp_path)], catch_exceptions=False)
