import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from inkdigits.errors import RunError
from inkdigits.sweep import study
from inkdigits.sweep.space import Range, Space
from inkdigits.sweep.study import N_UNPRUNED, Job, JobStore, Outcome, key_of, pack, unpack

SPACE: Space = {"activation": ("relu", "tanh"), "epochs": (5, 10)}
JOBS = [({"activation": activation, "epochs": 5}, seed) for activation in ("relu", "tanh") for seed in (0, 1)]


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'sweeps.db'}"


def opened(folder: Path, space: Space = SPACE) -> JobStore:
    return JobStore(url_in(folder), "study", space, {"why": "a test"})


def outcome(accuracy: float | None = 0.9) -> Outcome:
    return Outcome(accuracy, np.array([True, False, True]), [{"epoch": 1, "val_accuracy": 0.9}], 1.5)


def test_answers_are_kept_as_words() -> None:
    for n in (1, 8, 1001):
        right = np.random.default_rng(n).random(n) < 0.9
        assert (unpack(pack(right)) == right).all()


def test_a_job_from_enqueued_to_kept(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.add(JOBS)
    ledger.add(JOBS)
    waiting = ledger.jobs()
    assert [(job.settings, job.seed, job.state) for job in waiting] == [(*job, "WAITING") for job in JOBS]
    assert ledger.claim(waiting[1])
    assert not ledger.claim(waiting[1])
    assert ledger.finish(waiting[1], outcome(), run="here")
    again = opened(tmp_path)
    again.add(JOBS)
    kept = again.jobs()
    assert [job.state for job in kept] == ["WAITING", "COMPLETE", "WAITING", "WAITING"]
    found = kept[1].outcome
    assert found == outcome()
    assert found
    assert (found.right == outcome().right).all()
    assert again.more(kept[1])["run"] == "here"
    assert not again.claim(waiting[1])
    ledger.close()
    again.close()


def test_a_diverged_job_is_kept_and_not_run_again(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.add(JOBS[:2])
    for job, end in zip(
        ledger.jobs(), (Outcome(None, None, [], 1.0, "NaN"), Outcome(None, None, [], 1.0, pruned=True)), strict=True
    ):
        assert ledger.claim(job)
        assert ledger.finish(job, end)
    ledger.revive()
    ledger.add(JOBS[:2])
    ends = [job.outcome for job in ledger.jobs()]
    assert [(end.error, end.pruned) for end in ends if end] == [("NaN", False), (None, True)]
    ledger.close()


def test_of_two_equal_jobs_one_is_done(tmp_path: Path) -> None:
    """Two processes that enqueue at once may both find a key missing."""
    ledger = opened(tmp_path)
    for _ in range(2):
        ledger._study.enqueue_trial(JOBS[0][0], user_attrs={"key": key_of(*JOBS[0]), "seed": 0})
    assert [job.number for job in ledger.jobs()] == [0]
    assert not ledger.claim(Job(1, *JOBS[0]))
    assert ledger.claim(Job(0, *JOBS[0]))
    ledger.close()


def test_threads_claim_each_job_once(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.add(JOBS)
    claimed: list[int] = []

    def claim_all() -> None:
        own = opened(tmp_path)
        claimed.extend(job.number for job in own.jobs() if own.claim(job))

    threads = [threading.Thread(target=claim_all) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == [0, 1, 2, 3]
    ledger.close()


def test_what_was_given_up_is_done_again(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.add(JOBS[:1])
    assert ledger.claim(ledger.jobs()[0])
    ledger.close()
    again = opened(tmp_path)
    assert again.jobs() == []
    again.add([])
    assert [(job.number, job.key) for job in again.jobs()] == [(1, key_of(*JOBS[0]))]
    again.close()


CLAIM = """
import sys, time
from inkdigits.sweep.study import JobStore
ledger = JobStore(sys.argv[1], "study", {"activation": ("relu", "tanh"), "epochs": (5, 10)}, {})
print(ledger.claim(ledger.jobs()[0]), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere a dead process is known by its heartbeat")
def test_a_killed_processs_job_is_done_again_at_once(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.add(JOBS)
    command = [sys.executable, "-c", CLAIM, url_in(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "True\n"
    ledger.revive()
    assert ledger.jobs()[0].state == "RUNNING"
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet buried
    ledger.revive()
    ledger.add(JOBS)
    assert [(job.key, job.state) for job in ledger.jobs()][-1] == (key_of(*JOBS[0]), "WAITING")
    process.wait()
    process.stdout.close()
    ledger.close()


def test_elsewhere_a_missing_heartbeat_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "_here", lambda: "another machine")
    other = opened(tmp_path)
    other.add(JOBS[:1])
    job = other.jobs()[0]
    assert other.claim(job)
    monkeypatch.undo()
    ledger = opened(tmp_path)
    ledger.revive()
    assert [each.state for each in ledger.jobs()] == ["RUNNING"]
    monkeypatch.setattr(ledger._storage, "_get_stale_trial_ids", lambda _: [ledger._trials()[0]._trial_id])
    ledger.revive()
    ledger.add([])
    assert [(each.number, each.state) for each in ledger.jobs()] == [(1, "WAITING")]
    # It was asleep, not dead: what it brings now is no longer wanted.
    assert not other.finish(job, outcome())
    assert [(each.number, each.state) for each in ledger.jobs()] == [(1, "WAITING")]
    other.close()
    ledger.close()


def test_a_search_proposes_and_prunes(tmp_path: Path) -> None:
    space: Space = {"learning_rate": Range(1e-4, 1e-1), "hidden": ("50", "100"), "epochs": Range(2, 9)}
    ledger = opened(tmp_path, space)
    for _ in range(N_UNPRUNED):
        job = ledger.propose(0)
        assert set(job.settings) == set(space)
        assert 1e-4 <= job.settings["learning_rate"] <= 1e-1
        assert not ledger.report(job, 1, 0.9)
        assert not ledger.report(job, 2, 0.95)
        assert ledger.finish(job, outcome())
    rates = {job.settings["learning_rate"] for job in ledger.jobs()}
    assert len(rates) == N_UNPRUNED
    ledger.close()
    again = opened(tmp_path, space)
    hopeless = again.propose(0)
    assert hopeless.settings["learning_rate"] not in rates
    assert not again.report(hopeless, 1, 0.1)
    assert again.report(hopeless, 2, 0.1)
    assert again.finish(hopeless, Outcome(None, None, [], 1.0, pruned=True))
    assert again.jobs()[-1].state == "PRUNED"
    again.close()


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////dev/null/sweeps.db", "oracle9://host/db"])
def test_a_storage_that_cannot_be_opened_is_said_in_one_line(url: str) -> None:
    with pytest.raises(RunError, match="storage") as raised:
        JobStore(url, "study", SPACE, {})
    assert "\n" not in str(raised.value)
