"""The winner, trained once more as a run."""

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path

from inkdigits.sweep.plan import Plan
from inkdigits.sweep.space import Configuration
from inkdigits.training import runs
from inkdigits.training.runs import Run


def finish_winner(plan: Plan, settings: Configuration, root: Path, train: Callable[..., Run]) -> Run:
    """Return the run of the best settings: the one that is there, continued, or a new one.

    The run directory itself says that it is this sweep's winner, so that the test set is read for it once.

    Args:
        plan: of the sweep.
        settings: the best ones.
        root: the folder of all runs.
        train: trains a run, with the data and records of this sweep.
    """
    facts = {"sweep": {"study": plan.name, "settings": settings}}
    own = [run for run in runs.list_runs(root) if run.info.get("sweep") == facts["sweep"]]
    for run in sorted(own, key=lambda run: not run.finished):
        if run.finished:
            return run
        if zipfile.is_zipfile(run.path / "initial.keras"):
            return train(resume=run.path)
        # Killed before its first weights were written whole, or in its last steps: there is nothing to continue from.
        run.discard()
    changes = dataclasses.asdict(plan.recipe(settings))
    # The winner holds out as many images as any run of its recipe, whatever the sweep held out to choose on.
    del changes["validation"]
    name = changes.pop("name")
    return train(name, seed=0, facts=facts, **changes)
