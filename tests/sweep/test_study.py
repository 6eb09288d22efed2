from pathlib import Path

import numpy as np
import pytest

from inkdigits.errors import RunError
from inkdigits.sweep.space import Range, Space
from inkdigits.sweep.study import N_UNPRUNED, JobStore, Outcome, key_of, pack, unpack

SPACE: Space = {"activation": ("relu", "tanh"), "epochs": (5, 10)}
JOBS = [({"activation": activation, "epochs": 5}, seed) for activation in ("relu", "tanh") for seed in (0, 1)]


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'sweeps.db'}"


def opened(folder: Path, space: Space = SPACE) -> JobStore:
    return JobStore(url_in(folder), "study", space, {"why": "a test"})


def outcome(accuracy: float | None = 0.9) -> Outcome:
    return Outcome(accuracy, np.array([True, False, True]), [{"epoch": 1, "val_accuracy": 0.9}], 1.5)


def states(store: JobStore) -> list[tuple[str, str]]:
    return [(job.key, job.state) for job in store.jobs()]


def test_answers_are_kept_as_strings() -> None:
    for n in (1, 8, 1001):
        right = np.random.default_rng(n).random(n) < 0.9
        assert (unpack(pack(right)) == right).all()


def test_a_job_from_its_start_to_its_end(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert store.jobs() == []
    started = store.start(*JOBS[1])
    assert (started.settings, started.seed, started.state) == (*JOBS[1], "RUNNING")
    assert store.jobs() == [started]
    store.finish(started, outcome())
    store.close()
    again = opened(tmp_path)
    (kept,) = again.jobs()
    assert (kept.settings, kept.seed, kept.state) == (*JOBS[1], "COMPLETE")
    assert list(kept.settings) == list(SPACE)
    assert kept.outcome == outcome()
    assert kept.outcome
    assert (kept.outcome.right == outcome().right).all()
    again.close()


def test_a_diverged_job_is_kept(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for job, end in zip(
        JOBS[:2], (Outcome(None, None, [], 1.0, "NaN"), Outcome(None, None, [], 1.0, pruned=True)), strict=True
    ):
        store.finish(store.start(*job), end)
    store.close()
    store = opened(tmp_path)
    ends = [job.outcome for job in store.jobs()]
    assert [(end.error, end.pruned) for end in ends if end] == [("NaN", False), (None, True)]
    store.close()


def test_what_was_not_finished_is_interrupted_and_can_be_started_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.finish(store.start(*JOBS[0]), outcome())
    store.start(*JOBS[1])
    store.close()
    again = opened(tmp_path)
    keys = [key_of(*job) for job in JOBS]
    assert states(again) == [(keys[0], "COMPLETE"), (keys[1], "FAIL")]
    job = again.start(*JOBS[1])
    assert states(again) == [(keys[0], "COMPLETE"), (keys[1], "RUNNING")]
    again.finish(job, outcome())
    assert states(again) == [(keys[0], "COMPLETE"), (keys[1], "COMPLETE")]
    again.close()


def test_a_killed_processs_trials_are_taken_back_at_once(tmp_path: Path) -> None:
    """A killed process leaves a trial RUNNING, or one WAITING if it dies between `enqueue_trial` and `ask`."""
    killed = opened(tmp_path)
    killed.start(*JOBS[0])
    killed._study.enqueue_trial(JOBS[1][0], user_attrs={"key": key_of(*JOBS[1]), "seed": JOBS[1][1]})
    killed._study.enqueue_trial({})  # of a version that is not this one, say: it has no key
    store = opened(tmp_path)
    assert states(store) == [(key_of(*JOBS[0]), "FAIL"), (key_of(*JOBS[1]), "FAIL")]
    assert store.start(*JOBS[2]).settings == JOBS[2][0]
    assert states(store)[2:] == [(key_of(*JOBS[2]), "RUNNING")]
    store.close()
    killed.close()


def test_a_process_that_does_not_see_the_lock_doubles_nothing(tmp_path: Path) -> None:
    """Two machines can share a database, yet not the runs folder in which the lock is."""
    first = opened(tmp_path)
    job = first.start(*JOBS[0])
    second = opened(tmp_path)
    second.finish(second.start(*JOBS[0]), outcome())
    with pytest.raises(RunError, match="another process"):
        first.finish(job, outcome(0.1))
    assert [each.outcome for each in second.jobs()] == [outcome()]
    first.close()
    second.close()


def test_a_search_proposes_and_prunes(tmp_path: Path) -> None:
    space: Space = {"learning_rate": Range(1e-4, 1e-1), "hidden": ("50", "100"), "epochs": Range(2, 9)}
    store = opened(tmp_path, space)
    for _ in range(N_UNPRUNED):
        job = store.propose(0)
        assert job
        assert set(job.settings) == set(space)
        assert 1e-4 <= job.settings["learning_rate"] <= 1e-1
        assert not store.report(job, 1, 0.9)
        assert not store.report(job, 2, 0.95)
        store.finish(job, outcome())
    rates = {job.settings["learning_rate"] for job in store.jobs()}
    assert len(rates) == N_UNPRUNED
    store.close()
    again = opened(tmp_path, space)
    hopeless = again.propose(0)
    assert hopeless
    assert hopeless.settings["learning_rate"] not in rates
    assert not again.report(hopeless, 1, 0.1)
    assert again.report(hopeless, 2, 0.1)
    again.finish(hopeless, Outcome(None, None, [], 1.0, pruned=True))
    assert again.jobs()[-1].state == "PRUNED"
    again.close()


def test_a_proposal_that_exists_is_none(tmp_path: Path) -> None:
    store = opened(tmp_path, {"epochs": (5,)})
    assert store.propose(0)
    assert store.propose(0) is None
    assert len(store.jobs()) == 1
    store.close()


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////dev/null/sweeps.db", "oracle9://host/db"])
def test_a_storage_that_cannot_be_opened_is_said_in_one_line(url: str) -> None:
    with pytest.raises(RunError, match="storage") as raised:
        JobStore(url, "study", SPACE, {})
    assert "\n" not in str(raised.value)
