"""The winner, trained once more as a run."""

import dataclasses
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from inkdigits.sweep.plan import Plan
from inkdigits.sweep.ranking import Ranking
from inkdigits.sweep.scheduler import LOOK_S
from inkdigits.sweep.space import Configuration
from inkdigits.sweep.study import JobStore, Outcome, key_of
from inkdigits.training import runs
from inkdigits.training.runs import Run


def finish_winner(
    plan: Plan,
    ranking: Ranking,
    url: str,
    root: Path,
    training: Callable[..., Run],
) -> Run:
    """Train the best on all training images, judge it on the test set, once for all processes, and return its run."""
    assert ranking.best is not None
    settings = ranking.best.settings
    ledger = JobStore(url, f"{plan.name}/winner", plan.space, {})
    try:
        while True:
            ledger.revive()
            ledger.add([(settings, 0)])
            job = next(job for job in ledger.jobs() if job.key == key_of(settings, 0))
            if job.outcome is not None:
                path = Path(str(ledger.more(job)["run"]))
                return runs.read(path) if path.exists() else _train_winner(plan, settings, root, training)
            if job.state == "WAITING" and ledger.claim(job):
                start = time.perf_counter()
                run = _train_winner(plan, settings, root, training)
                accuracy, seconds = run.figures["test_accuracy"], time.perf_counter() - start
                ledger.finish(job, Outcome(accuracy, None, run.history, seconds), run=str(run.path.absolute()))
                return run
            time.sleep(LOOK_S)
    finally:
        ledger.close()


def _train_winner(plan: Plan, settings: Configuration, root: Path, training: Callable[..., Run]) -> Run:
    facts = {"sweep": {"study": plan.name, "settings": settings}}
    for run in runs.list_runs(root):
        if run.finished or run.info.get("sweep") != facts["sweep"]:
            continue
        if zipfile.is_zipfile(run.path / "initial.keras"):
            return training(resume=run.path)
        # Killed before its first weights were written whole, or in its last steps: there is nothing to go on from.
        run.discard()
    changes = dataclasses.asdict(plan.recipe(settings))
    # Held-out images were for choosing; what is chosen learns from them too, unless the recipe itself holds some out.
    changes["validation"] = plan.base.validation
    name = changes.pop("name")
    return training(name, seed=0, facts=facts, **changes)
