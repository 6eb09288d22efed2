import os
from pathlib import Path

import pytest

from inkdigits.errors import RunError
from inkdigits.training import runs
from inkdigits.training.recipes import RECIPES, Recipe

INFO = {
    "format": 1,
    "recipe": {"name": "hidden", "hidden": [300, 100], "learning_rate": 0.001, "of_another_version": 1},
    "seed": 7,
    "started": "2026-01-01T00:00:00+00:00",
}
FIGURES = {"test_loss": 0.5, "test_accuracy": 0.875, "test_errors": 25, "n_test": 200}


def finished(root: Path, started: str = "2026-01-01T00:00:00+00:00") -> runs.Run:
    return runs.start(root, "hidden", INFO | {"started": started}).save_info(figures=FIGURES).finish()


def test_a_run_is_known_as_unfinished_until_it_is_whole(tmp_path: Path) -> None:
    run = runs.start(tmp_path / "deep" / "runs", "hidden", INFO)
    assert not run.finished
    assert run.path.name.endswith(".unfinished")
    run.checkpoint.write_bytes(b"x")
    done = run.finish()
    assert done.finished
    assert done.name == run.name
    assert not run.path.exists()
    assert [path.name for path in done.path.iterdir()] == ["run.json"]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    run = finished(tmp_path)
    history = [{"epoch": 1, "loss": 0.1 + 0.2, "accuracy": 0.5}, {"epoch": 2, "loss": 1e-17, "accuracy": 1.0}]
    run.save_history(history)
    again = runs.read(run.name, tmp_path)
    assert again == run
    assert again.recipe == Recipe("hidden", hidden=(300, 100), learning_rate=0.001)
    assert again.seed == 7
    assert again.figures == FIGURES
    assert again.history == history


def test_a_run_is_found_by_name_and_by_path_with_or_without_its_mark(tmp_path: Path) -> None:
    run = runs.start(tmp_path, "hidden", INFO)
    for given in (run.path, run.path.with_name(run.name), run.name, run.path.name):
        assert runs.read(given, tmp_path) == run


def test_two_runs_in_one_second_have_two_names(tmp_path: Path) -> None:
    started = [runs.start(tmp_path, "hidden", INFO) for _ in range(3)]
    assert len({run.name for run in started}) == 3


def test_the_newest_run_is_listed_first(tmp_path: Path) -> None:
    dates = ["2026-01-02T00:00:00", "2026-01-03T00:00:00", "2026-01-01T00:00:00"]
    for date in dates:
        finished(tmp_path, date)
    assert [run.info["started"] for run in runs.list_runs(tmp_path)] == sorted(dates, reverse=True)
    assert runs.list_runs(tmp_path / "none") == []


def test_the_summary_says_how_far_a_run_is(tmp_path: Path) -> None:
    assert "87.50% of 200" in runs.summary(finished(tmp_path))
    run = runs.start(tmp_path, "hidden", INFO)
    run.save_history([{"epoch": 1, "loss": 1.0}])
    assert f"unfinished: 1 of {RECIPES['hidden'].epochs} epochs" in runs.summary(run)
    assert "300 100 relu adam 0.001" in runs.summary(run)


def test_an_unknown_run_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run; none is in"):
        runs.read("hidden-1", tmp_path)
    run = finished(tmp_path)
    with pytest.raises(RunError, match=f"the newest in .* are: {run.name}"):
        runs.read("hidden-1", tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}'])
def test_a_damaged_run_is_refused(text: str, tmp_path: Path) -> None:
    run = finished(tmp_path)
    (run.path / "run.json").write_text(text)
    with pytest.raises(RunError, match=run.name):
        runs.read(run.name, tmp_path)


def test_a_damaged_run_does_not_hide_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good, damaged = finished(tmp_path), finished(tmp_path)
    (damaged.path / "run.json").write_text("{")
    assert runs.list_runs(tmp_path) == [good]
    (record,) = caplog.records
    assert damaged.name in record.getMessage()
    with pytest.raises(RunError, match=f"no such run; the newest in .* are: {good.name}"):
        runs.read("other", tmp_path)


def test_a_runs_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunError, match="cannot write the run"):
        runs.start(tmp_path / "runs", "hidden", INFO)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_runs_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="Permission denied"):
        runs.start(tmp_path, "hidden", INFO)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(b"old")
    (tmp_path / "history.csv.part").symlink_to("/dev/full")
    with pytest.raises(RunError, match="No space left on device"):
        runs.write_beside(path, b"new" * 100_000)
    assert path.read_bytes() == b"old"


def test_a_hopeless_run_can_be_removed(tmp_path: Path) -> None:
    runs.start(tmp_path, "hidden", INFO).discard()
    assert list(tmp_path.iterdir()) == []
