"""Promises: kept as often as they say, never laxer than an independent implementation allows, exact at the edges."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mapie.risk_control import BinaryClassificationController
from scipy.stats import binom, binomtest

from inkdigits.arrays import Floats, Mask, Rng
from inkdigits.cli.main import main
from inkdigits.evaluation.selective import (
    THRESHOLDS,
    aurc,
    bounded_risk_coverage,
    coverage_at,
    e_values,
    least_checked,
    points_of,
    promise,
    risk_coverage,
    upper_bounds,
    watch,
)


def sample(rng: Rng, n: int) -> tuple[Floats, Mask]:
    """Values of which those of confidence c are wrong with a probability that falls from 0.3 to 0 as c rises."""
    confidences = rng.beta(4, 0.6, n)
    return confidences, rng.random(n) >= wrong_share(confidences)


def wrong_share(confidences: Floats) -> Floats:
    return 0.3 * (1 - confidences) ** 1.2


def true_risks(rng: Rng) -> dict[float, float]:
    """P(wrong | confidence >= t) for each threshold, from two million draws."""
    confidences = rng.beta(4, 0.6, 2_000_000)
    shares = wrong_share(confidences)
    return {t: float(shares[confidences >= t].mean()) for t in THRESHOLDS}


@pytest.mark.parametrize(("n", "risk", "delta"), [(600, 0.02, 0.05), (2000, 0.01, 0.1)])
def test_promises_are_broken_no_oftener_than_they_say(n: int, risk: float, delta: float) -> None:
    rng = np.random.default_rng(1)
    truth = true_risks(rng)
    draws = 2000
    made = [promise(*sample(rng, n), risk, delta) for _ in range(draws)]
    broken = sum(each.threshold is not None and truth[each.threshold] > risk for each in made)
    assert broken / draws <= delta + 3 * np.sqrt(delta * (1 - delta) / draws)
    assert sum(each.threshold is not None for each in made) > 0.7 * draws  # and they are made
    assert np.mean([each.coverage for each in made]) > 0.4


@pytest.mark.filterwarnings("ignore:Fixed sequence testing requires a monotonic risk")
def test_never_stricter_than_mapie_with_its_wider_bound() -> None:
    """MAPIE's p-values (Hoeffding, Bentkus) are never smaller than the exact ones: it accepts less, or as much."""
    rng = np.random.default_rng(2)
    thresholds = np.array(THRESHOLDS[7:])
    n_compared = 0
    for _ in range(30):
        confidences, right = sample(rng, 3000)
        controller = BinaryClassificationController(
            lambda x: np.column_stack([1 - x[:, 0], x[:, 0]]), "precision", 0.98, 0.95,
            list_predict_params=thresholds, fwer_method="fixed_sequence",
        )  # fmt: skip
        controller.calibrate(confidences[:, None], right.astype(int))
        theirs = np.asarray(controller.valid_predict_params, float)
        ours = promise(confidences, right, 0.02, 0.05, tuple(thresholds))
        if theirs.size:
            n_compared += 1
            assert ours.threshold is not None
            assert ours.threshold <= theirs.min() + 1e-9
            assert theirs.min() - ours.threshold < 0.15
    assert n_compared > 20


def test_how_many_must_be_checked() -> None:
    assert [least_checked(risk) for risk in (0.001, 0.005, 0.01)] == [2995, 598, 299]
    assert promise(np.full(598, 0.9995), np.full(598, True), 0.005).threshold == 0.0
    assert promise(np.full(597, 0.9995), np.full(597, True), 0.005).n_missing == 1
    one_wrong = np.arange(700) > 0
    kept = promise(np.full(700, 0.9995), one_wrong, 0.005)
    assert kept.threshold is None
    more = kept.n_missing
    assert promise(np.full(700 + more, 0.9995), np.arange(700 + more) > 0, 0.005).threshold == 0.0
    assert promise(np.full(699 + more, 0.9995), np.arange(699 + more) > 0, 0.005).threshold is None
    assert "cannot promise yet" in str(kept)


def test_the_sequence_ends_at_the_first_threshold_that_fails() -> None:
    confidences = np.repeat([0.9995, 0.96, 0.5], [400, 100, 3000])
    right = np.concatenate([np.full(400, True), np.full(100, False), np.full(3000, True)])
    found = promise(confidences, right, 0.01)
    assert found.threshold == 0.97
    assert found.n_accepted == 400
    assert str(found).startswith("promise: at most 1 % wrong (95 % sure) at threshold 0.97, 11.4 % accepted (0 of 400")


def test_the_sequence_begins_where_a_tenth_of_the_sample_lies() -> None:
    """Two wrong ones of the 70 surest end nothing where 700 further ones are checked; of 700 in all, 70 are a tenth."""
    confidences = np.repeat([0.9995, 0.985], [70, 700])
    right = np.concatenate([np.arange(70) > 1, np.arange(700) > 9])
    found = promise(confidences, right, 0.05)
    assert (found.threshold, found.n_accepted, found.n_wrong) == (0.0, 770, 12)
    assert promise(confidences[:700], right[:700], 0.05).threshold is None


@pytest.mark.parametrize(("risk", "delta"), [(0.05, 0.05), (0.01, 0.1)])
def test_false_alarms_are_no_oftener_than_they_say(risk: float, delta: float) -> None:
    """2,000 sequences of 1,500 values at the very edge of the promise, looked at after every value."""
    rng = np.random.default_rng(4)
    draws = 2000
    alarms = sum(watch(rng.random(1500) >= risk, risk, delta).is_alarm for _ in range(draws))
    assert 0 < alarms / draws <= delta + 3 * np.sqrt(delta * (1 - delta) / draws)


def test_a_doubled_error_rate_raises_the_alarm() -> None:
    rng = np.random.default_rng(5)
    found = [watch(rng.random(1000) >= 0.10, 0.05) for _ in range(200)]
    assert np.mean([each.is_alarm for each in found]) > 0.95
    assert watch([], 0.05).evidence == 1
    quiet = watch(np.full(1000, True), 0.05)
    assert (quiet.n, quiet.n_wrong, quiet.evidence, quiet.is_alarm) == (1000, 0, 1.0, False)
    # What was raised stays raised: an alarm is not looked away by waiting.
    early = np.concatenate([np.full(10, False), np.full(5000, True)])
    assert watch(early, 0.05).is_alarm


def test_an_e_value_is_what_numerical_integration_gives() -> None:
    risk, wrong = 0.05, np.array([0, 1, 0, 0, 1, 0, 0, 1], bool)
    q = np.linspace(risk, 1, 400_001)
    weight = (1 - q) ** (1 / (2 * risk) - 1)
    ratio = (q / risk) ** 3 * ((1 - q) / (1 - risk)) ** 5
    assert np.exp(e_values(wrong, risk)[-1]) == pytest.approx((ratio * weight).sum() / weight.sum(), rel=1e-4)


def test_nothing_checked_promises_nothing() -> None:
    found = promise([], [], 0.01)
    assert (found.threshold, found.coverage, found.n_missing) == (None, 0.0, 299)


@pytest.mark.parametrize(
    "wrong", [{"risk": 0}, {"risk": 1}, {"delta": 0}, {"right": [True]}, {"thresholds": (0.5, 0.9)}]
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the argument at fault is in the message
        promise(**{"confidences": [0.5, 0.6], "right": [True, False], "risk": 0.1} | wrong)  # type: ignore[arg-type]


def test_risk_and_coverage() -> None:
    coverage, errors = risk_coverage(np.array([0.2, 0.9, 0.8, 0.5]), np.array([False, True, True, False]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert errors.tolist() == pytest.approx([0, 0, 1 / 3, 0.5])
    assert aurc(np.array([0.2, 0.9, 0.8, 0.5]), np.array([False, True, True, False])) == pytest.approx(
        (1 / 3 + 0.5) / 4
    )


def test_bounds_are_those_of_scipy_and_decide_as_the_binomial_test_does() -> None:
    n, wrong = (grid.ravel() for grid in np.meshgrid([1, 7, 598, 3000], [0, 1, 5, 40]))
    n, wrong = n[wrong <= n], wrong[wrong <= n]
    bounds = upper_bounds(wrong, n)
    # Two-sided at 90 % is one-sided at 95 %.
    theirs = [binomtest(int(k), int(m)).proportion_ci(0.9, "exact").high for k, m in zip(wrong, n, strict=True)]
    assert bounds == pytest.approx(theirs)
    for risk in (0.001, 0.005, 0.05, 0.4):
        assert ((bounds <= risk) == (binom.cdf(wrong, n, risk) <= 0.05)).all()
    assert upper_bounds(np.array([0, 3]), np.array([0, 3])).tolist() == [1.0, 1.0]


def test_coverage_at_an_error_rate() -> None:
    sure, right = np.linspace(1, 0.01, 100), np.arange(100) != 50
    assert coverage_at(sure, right, 0.01) == 1.0  # 1 of 100
    assert coverage_at(sure, right, 0.005) == 0.5
    assert coverage_at(sure, np.zeros(100, bool), 0.5) == 0.0


def test_points_of_a_curve_with_its_bound() -> None:
    rng = np.random.default_rng(5)
    sure, right = sample(rng, 250)
    curve = bounded_risk_coverage(sure, right)
    coverage, errors = risk_coverage(sure, right)
    assert (curve[:, 0] == coverage).all()
    assert (curve[:, 1] == errors).all()
    assert (curve[:, 2] > errors).all()
    assert curve[0, 2] == pytest.approx(0.95 if errors[0] == 0 else 1.0)
    assert points_of(curve, 10)[:, 0] == pytest.approx(np.arange(1, 11) / 10)
    assert len(points_of(curve[:3], 10)) == 3


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Forty cells with a 7, one of which is labelled 8."""
    picture = np.full((130, 150), 255, np.uint8)
    seven = np.array([(40, 14), (100, 10), (96, 22), (64, 110)])
    cv2.polylines(picture, [seven], False, 0, 8, cv2.LINE_AA)
    for number in range(40):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.roll(picture, number % 9, axis=1))
    (tmp_path / "truth.json").write_text(json.dumps({f"{number}.png": "7" for number in range(40)}))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["inkdigits", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_evaluate_promises_for_cells(
    cells: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["evaluate", "--cells", str(cells), "--risk"]
    assert run(monkeypatch, *words, "0.01", "--save", str(cells / "p.json")) == 1
    said = capsys.readouterr()
    assert "string exact       100.00 %" in said.out
    assert re.search(r"^cannot promise yet: 2\d\d more checked values, all right$", said.out, re.MULTILINE)
    assert said.err == f"error: {cells / 'p.json'}: not written, since at most 1 % wrong cannot be promised\n"
    assert not (cells / "p.json").exists()
    (cells / "p.json").write_text("kept")
    assert run(monkeypatch, *words, "0.1", "--save", str(cells / "p.json")) == 1
    said = capsys.readouterr()
    assert said.err == f"error: {cells / 'p.json'}: exists already; name another file, or say --overwrite\n"
    assert said.out == ""
    assert (cells / "p.json").read_text() == "kept"
    assert run(monkeypatch, *words, "0.1", "--save", str(cells / "p.json"), "--overwrite") == 0
    assert json.loads((cells / "p.json").read_text())["risk"] == 0.1
    capsys.readouterr()
    assert run(monkeypatch, *words, "2") == 2
    assert "--risk belongs to --cells" in capsys.readouterr().err
    assert run(monkeypatch, *words[:-1], "--save", "p.json") == 2
    assert "--save belongs to --risk" in capsys.readouterr().err


def test_a_promise_is_kept_by_read(
    cells: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, picture, table = str(cells / "p.json"), str(cells / "0.png"), str(cells / "rows.jsonl")
    assert run(monkeypatch, "evaluate", "--cells", str(cells), "--risk", "0.1", "--save", kept, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["promise"]["n_accepted"] == 40
    assert figures["cells"]["aurc"] == 0
    assert figures["cells"]["coverage_at_half_percent"] == 1
    assert len(figures["risk_coverage"]) == 40
    assert figures["risk_coverage"][-1] == {"coverage": 1, "error": 0, "at_most": pytest.approx(1 - 0.05 ** (1 / 40))}
    assert run(monkeypatch, "read", picture, "--layout", "number", "--promise", kept) == 0
    said = capsys.readouterr()
    assert said.out == f"{picture}: 7\n"
    assert said.err.startswith("promise: at most 10 % wrong")
    assert run(monkeypatch, "read", picture, "--layout", "number", "--threshold", "1") == 0
    assert capsys.readouterr().out == f"{picture}: 7?\n"
    words = ["read", picture, "--layout", "number", "--output", table, "--workers", "1"]
    for more, accepted in ((["--promise", kept], True), (["--threshold", "1"], False)):
        assert run(monkeypatch, *words, "--overwrite", *more) == 0
        assert json.loads(Path(table).read_text())["accepted"] is accepted
    for more, says in (
        (["--promise", kept, "--threshold", "0.5", "--layout", "number"], "not both"),
        (["--promise", kept], "goes with --layout number"),
    ):
        capsys.readouterr()
        assert run(monkeypatch, "read", picture, *more) == 2
        assert says in capsys.readouterr().err
    Path(kept).write_text("{}")
    assert run(monkeypatch, "read", picture, "--layout", "number", "--promise", kept) == 1
    assert "not a promise that can be kept" in capsys.readouterr().err


def test_the_report_draws_the_curve_and_shows_the_errors(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = json.loads((cells / "truth.json").read_text()) | {"3.png": "8"}
    (cells / "truth.json").write_text(json.dumps(labels))
    report = cells / "report.html"
    assert run(monkeypatch, "evaluate", "--cells", str(cells), "--risk", "0.2", "--report", str(report)) == 0
    page = report.read_text()
    assert 'alt="Risk-coverage curve' in page
    assert "promise: at most 20 % wrong (95 % sure)" in page
    assert page.count('<td class="wrong">') == 1
    assert 'alt="3.png"' in page
    assert "<td><b>8</b></td>" in page
