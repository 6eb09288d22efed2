import numpy as np
import pytest

from inkdigits.sweep import ranking
from inkdigits.sweep.ranking import by_value, compare_with_best, importance, rank
from inkdigits.sweep.space import Configuration
from inkdigits.sweep.study import Job, Outcome

N = 4000


def job(settings: Configuration, seed: int, share: float) -> Job:
    """Return a training which has every image right with that probability."""
    rng = np.random.default_rng([seed, int(share * 1e6), len(str(settings))])
    right = rng.random(N) < share
    history = [{"epoch": 1.0, "val_accuracy": float(right.mean()), "accuracy": 0.9}]
    return Job(0, settings, seed, "COMPLETE", Outcome(float(right.mean()), right, history, 1.0))


def failed(settings: Configuration, seed: int, **end: object) -> Job:
    return Job(0, settings, seed, "PRUNED", Outcome(None, None, [], 1.0, **end))  # type: ignore[arg-type]


def jobs(**shares: float) -> list[Job]:
    return [job({"activation": name}, seed, share) for name, share in shares.items() for seed in range(3)]


def test_the_best_is_first_and_only_what_is_significant_is_called_so() -> None:
    found = compare_with_best(rank(jobs(tanh=0.9, relu=0.95, gelu=0.949), ["activation"], 3, N))
    assert {row.settings["activation"] for row in found.rows[:2]} == {"relu", "gelu"}
    assert [row.verdict for row in found.rows] == ["best", "not significant", "significant"]
    assert found.rows[2].difference == pytest.approx(-0.05, abs=0.01)
    assert found.rows[2].p is not None
    assert found.rows[2].p < 1e-4
    assert "Of 2 differences from the best 1 is significant." in found.in_words()


def test_mean_and_spread_are_over_the_seeds() -> None:
    row = rank(jobs(relu=0.9), ["activation"], 3, N).rows[0]
    assert row.mean == pytest.approx(np.mean(row.accuracies))
    assert row.sd == pytest.approx(np.std(row.accuracies, ddof=1))
    fewer = rank(jobs(relu=0.9), ["activation"], 2, N).rows[0]
    assert len(fewer.accuracies) == 2


def test_one_seed_tells_nothing() -> None:
    found = compare_with_best(rank(jobs(tanh=0.5, relu=0.95), ["activation"], 1, N))
    assert [row.verdict for row in found.rows] == ["best", "one seed"]
    assert found.rows[1].p is None
    assert "--seeds 3" in found.in_words()


def test_what_has_not_come_to_an_end_is_below_and_never_best() -> None:
    broken = [job({"activation": "selu"}, 0, 0.99), failed({"activation": "selu"}, 1, error="NaN")]
    stopped = [failed({"activation": "elu"}, 0, pruned=True)]
    lonely = [job({"activation": "silu"}, 0, 0.99)]
    found = compare_with_best(rank([*broken, *stopped, *lonely, *jobs(relu=0.9)], ["activation"], 3, N))
    assert found.best is found.rows[0]
    assert [row.settings["activation"] for row in found.rows[:1]] == ["relu"]
    verdicts = {row.settings["activation"]: row.verdict for row in found.rows}
    assert verdicts == {"relu": "best", "selu": "failed (1 of 2)", "elu": "stopped early", "silu": "not repeated"}
    assert compare_with_best(rank(stopped, ["activation"], 3, N)).best is None
    assert found.to_dict()["ranking"][-1]["accuracy"] is None


def test_the_table_lines_up() -> None:
    found = compare_with_best(rank(jobs(tanh=0.9, relu=0.95), ["activation"], 3, N))
    lines = found.table().splitlines()
    assert lines[0].split()[-3:] == ["95", "%", "p"]
    assert lines[1].split()[:2] == ["1", "relu"]
    assert lines[2].split()[6] == "significant"
    ends = {line.index(word) + len(word) for line, word in zip(lines[1:], ("best", "significant"), strict=True)}
    assert len(ends) == 1
    assert found.table(1).splitlines()[-1] == "... and 1 more"


def test_importance_finds_the_hyperparameter_that_matters() -> None:
    many = [
        job({"activation": activation, "epochs": epochs, "batch_norm": norm}, seed, share)
        for activation, share in (("relu", 0.95), ("tanh", 0.8), ("gelu", 0.9))
        for epochs in (5, 10)
        for norm in (True, False)
        for seed in range(2)
    ]
    found = rank(many, ["activation", "epochs", "batch_norm"], 2, N)
    shares = importance(found)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda name: shares[name]) == "activation"
    assert shares["activation"] > 0.9
    assert list(by_value(found, "epochs")) == [5, 10]
    assert importance(rank(many[:4], ["activation", "epochs", "batch_norm"], 2, N)) == {}


def test_equal_nets_are_not_called_different() -> None:
    """Twelve equal networks: the best of them must seldom seem significantly better than another."""
    alarms = 0
    for trial in range(30):
        rng = np.random.default_rng(trial)
        image = rng.normal(2.5, 1.5, N)  # how easy each image is
        equal = []
        for i in range(12):
            for seed in range(3):
                right = image + rng.normal(0, 0.1) + rng.normal(0, 1, N) > 0
                equal.append(Job(0, {"epochs": i}, seed, "COMPLETE", Outcome(float(right.mean()), right, [], 1.0)))
        alarms += any(row.verdict == "significant" for row in compare_with_best(rank(equal, ["epochs"], 3, N)).rows)
    assert alarms <= 5
    assert ranking.SIGNIFICANCE_LEVEL == 0.05
