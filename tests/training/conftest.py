"""Trainings as quick as tests need them: most of a toy training goes into compiling it and drawing its report."""

import pytest


@pytest.fixture
def with_xla() -> None:
    """For tests of what XLA compiles: it takes 3 to 5 s, for epochs that run a tenth of one."""


@pytest.fixture
def with_report() -> None:
    """For tests of a run's report: its pictures take 3 s."""


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "with_xla" not in request.fixturenames:
        monkeypatch.setattr("inkdigits.training.loop.XLA_LAYERS", ())
    if "with_report" not in request.fixturenames:
        monkeypatch.setattr("inkdigits.training.train.save_run_report", lambda *facts: None)
