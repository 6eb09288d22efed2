"""What MLflow and TensorBoard are given is what the run holds; they can fail, and no training is lost by it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import inkdigits
from inkdigits.data.splits import Split
from inkdigits.errors import MissingExtraError, RecordError
from inkdigits.evaluation.cells import CellsEvaluation
from inkdigits.evaluation.model_evaluation import ModelEvaluation
from inkdigits.evaluation.outliers import Outliers
from inkdigits.reading.model import model_path
from inkdigits.reading.reader import Reader
from inkdigits.training import runs, tracking
from inkdigits.training.recipes import resolve

Splits = tuple[Split, Split]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records") / "runs"


@pytest.fixture(scope="module")
def run(toy: Splits, root: Path) -> inkdigits.Run:
    settings: dict[str, Any] = {"hidden": 20, "epochs": 3, "validation": 100, "seed": 7}
    return inkdigits.train(
        "hidden", data=toy, runs_dir=root, mlflow="local", tensorboard=True, progress=False, **settings
    )


@pytest.fixture(scope="module")
def mlflow(run: inkdigits.Run, root: Path) -> Iterator[Any]:
    """MLflow as another program would open it, turned to what was written."""
    with tracking._mlflow(f"sqlite:///{(root / 'mlflow.db').absolute()}") as mlflow:
        yield mlflow


@pytest.fixture(scope="module")
def logged(run: inkdigits.Run, mlflow: Any) -> Any:
    found = mlflow.search_runs(experiment_names=["inkdigits"], output_format="list")
    (logged,) = [each for each in found if each.info.run_name == run.name]
    return logged


def test_mlflow_holds_settings_curves_and_figures(run: inkdigits.Run, mlflow: Any, logged: Any) -> None:
    assert logged.info.run_name == run.name
    assert logged.info.status == "FINISHED"
    assert logged.data.params["hidden"] == "[20]"
    assert logged.data.params["seed"] == "7"
    assert logged.data.params["data_sha256"] == run.info["data"]["sha256"]
    assert set(run.info["recipe"]) <= set(logged.data.params)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        curve = mlflow.MlflowClient().get_metric_history(logged.info.run_id, name)
        assert [(point.step, point.value) for point in curve] == [(row["epoch"], row[name]) for row in run.history]
    for name, value in run.figures.items():
        assert logged.data.metrics[name] == value


def test_mlflow_tells_when_it_was(run: inkdigits.Run, mlflow: Any, logged: Any) -> None:
    begun, ended = (datetime.fromisoformat(run.info[when]).timestamp() * 1000 for when in ("started", "finished"))
    assert (logged.info.start_time, logged.info.end_time) == (begun, ended)
    curve = mlflow.MlflowClient().get_metric_history(logged.info.run_id, "loss")
    assert [int(point.timestamp - begun) for point in curve] == pytest.approx(
        np.cumsum([1000 * row["seconds"] for row in run.history]), abs=2
    )


def test_mlflow_holds_the_confusion_matrix_and_the_run(
    run: inkdigits.Run, toy: Splits, mlflow: Any, logged: Any
) -> None:
    told = mlflow.artifacts.load_dict(f"runs:/{logged.info.run_id}/evaluation.json")
    assert told["confusion_matrix"] == run.evaluate(toy[1]).confusion.tolist()
    files = mlflow.MlflowClient().list_artifacts(logged.info.run_id, "run")
    assert {Path(file.path).name for file in files} == {path.name for path in run.path.iterdir()}


@pytest.mark.parametrize("address", ["runs:/{run}/model", "models:/{model}"])
def test_a_model_loaded_back_gives_the_same_bits(
    address: str, run: inkdigits.Run, toy: Splits, mlflow: Any, logged: Any, tmp_path: Path
) -> None:
    uri = address.format(run=logged.info.run_id, model=logged.outputs.model_outputs[0].model_id)
    images = toy[1].images
    expected = Reader(run.path).classify(images)
    proto = mlflow.onnx.load_model(uri)
    scores = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"images": images})[0]
    own = onnxruntime.InferenceSession(run.path / "model.onnx").run(None, {"images": images})[0]
    np.testing.assert_array_equal(scores, own)
    folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path)))
    assert Reader(folder).card == Reader(run.path).card
    np.testing.assert_array_equal(Reader(folder).classify(images).probabilities, expected.probabilities)


def test_tensorboard_holds_curves_settings_and_the_matrix(run: inkdigits.Run, root: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    def points(part: str, tag: str) -> list[tuple[int, Any]]:
        events = EventAccumulator(str(root / "tensorboard" / run.name / part))
        events.Reload()
        return [(event.step, make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]

    for part, tag, name in (("training", "loss", "loss"), ("validation", "accuracy", "val_accuracy")):
        assert points(part, tag) == [(row["epoch"], np.float32(row[name])) for row in run.history]
    assert points("test", "accuracy") == [(3, np.float32(run.figures["test_accuracy"]))]
    ((_, text),) = points("", "parameters")
    assert "| activation | relu |" in text.item().decode()
    ((_, picture),) = points("", "confusion matrix")
    assert picture[2].startswith(b"\x89PNG")


def test_runs_are_listed_and_compared_as_without(run: inkdigits.Run, root: Path) -> None:
    assert runs.list_runs(root) == [run]


def test_the_process_keeps_its_own_tracking_uri(run: inkdigits.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = mlflow.is_tracking_uri_set()
    tracking.destinations("sqlite:///" + str(run.path.parent / "mlflow.db"), False, run.path.parent)
    assert mlflow.is_tracking_uri_set() == before


def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    to = tracking.Destinations(tensorboard=tmp_path / "runs" / "tensorboard")
    tracking.keep(tracking.Record("../../sweep/a b/.", {}, figures={"test_accuracy": 0.5}), to)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert (tmp_path / "runs" / "tensorboard" / "sweep" / "a-b" / "test").is_dir()


def test_a_judgement_of_cells_and_outliers_is_told_in_figures() -> None:
    cells = CellsEvaluation(
        "scans", ("a", "b"), ("12", "7"), ("12", "1"), np.array([0.9, 0.8]), np.array([True, False])
    )
    record = tracking.record_of_evaluation(ModelEvaluation(None, Outliers("letters", 9, 0.75, 0.5, 0.25), cells), None)
    assert record.parameters["outliers"] == "letters"
    assert record.parameters["cells"] == "scans"
    assert record.figures["outliers_auroc"] == 0.75
    assert record.figures["cells_digits_exact"] == 0.5
    assert "n_test" not in record.figures
    assert record.model == model_path(None)


def test_a_trial_is_found_by_its_sweep(mlflow: Any, root: Path) -> None:
    history = [{"epoch": 1, "loss": 0.5, "val_accuracy": 0.25}, {"epoch": 2, "loss": 0.25, "val_accuracy": 0.75}]
    recipe = resolve("linear", learning_rate=0.01)
    record = tracking.record_of_trial("hidden-1234", "7", recipe, 3, history)
    (kept,) = tracking.keep(record, tracking.Destinations(f"sqlite:///{(root / 'mlflow.db').absolute()}"))
    logged = mlflow.get_run(kept.rpartition(" ")[2])
    assert (logged.data.tags["sweep"], logged.info.run_name) == ("hidden-1234", "hidden-1234/7")
    assert (logged.data.params["learning_rate"], logged.data.params["seed"]) == ("0.01", "3")
    assert logged.data.metrics["val_accuracy"] == 0.75
    curve = mlflow.MlflowClient().get_metric_history(logged.info.run_id, "loss")
    assert [point.value for point in curve] == [0.5, 0.25]


class OneAnswer(BaseHTTPRequestHandler):
    """An MLflow server with no experiments."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own, which `pytest.warns` lets through
@pytest.mark.usefixtures("with_report")
def test_a_server_lost_while_training_loses_no_training(
    toy: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = HTTPServer(("127.0.0.1", 0), OneAnswer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def lose(*_: object) -> Any:
        server.shutdown()
        server.server_close()
        return start(*_)

    start, uri = runs.start, f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(runs, "start", lose)
    with pytest.warns(UserWarning, match=r"MLflow did not take the record of linear-.*no server answers"):
        run = inkdigits.train("linear", data=toy, runs_dir=tmp_path, epochs=1, mlflow=uri, progress=False)
    thread.join()
    assert run.finished
    assert run == runs.read(run.name, tmp_path)
    assert {"run.json", "model.onnx", "report.html"} <= {path.name for path in run.path.iterdir()}


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("hidden", "is no MLflow URI; give local"),
        ("file:///records/mlruns", "no longer writes plain folders"),
        ("http://user:secret@127.0.0.1:9", "//127.0.0.1:9: MLflow cannot keep records there: no server answers"),
        ("sqlite:////proc/nowhere/mlflow.db", "cannot keep records there"),
    ],
)
def test_what_cannot_be_reached_is_said_before_training(
    uri: str, words: str, toy: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RecordError, match=words) as raised:
        inkdigits.train("linear", data=toy, runs_dir=tmp_path / "runs", mlflow=uri, progress=False)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("package", ["mlflow", "tensorboard"])
def test_a_missing_package_is_said_before_training(
    package: str, toy: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    where: dict[str, Any] = {"mlflow": "local"} if package == "mlflow" else {"tensorboard": True}
    with pytest.raises(MissingExtraError, match=rf"{package} is missing: `pip install 'inkdigits\[track\]'`"):
        inkdigits.train("linear", data=toy, runs_dir=tmp_path / "runs", progress=False, **where)
    assert not list(tmp_path.glob("runs/linear*"))


def test_the_command_line_records_the_shipped_reader(toy_folder: Path, root: Path, run: inkdigits.Run) -> None:
    code = (
        "import sys; from inkdigits.cli.main import app; app(sys.argv[1:], standalone_mode=False)\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled; print(is_telemetry_disabled())\n"
        "print('tensorflow' in sys.modules)"
    )
    words = ["evaluate", "--data", str(toy_folder), "--runs", str(root), "--mlflow", "local", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, cwd=root)
    answer, disabled, with_tensorflow = done.stdout.splitlines()
    assert (disabled, with_tensorflow) == ("True", "False")
    (line,) = done.stderr.splitlines()
    run_id = line.rpartition(" ")[2]
    assert not (root / "mlruns").exists()
    with tracking._mlflow(f"sqlite:///{(root / 'mlflow.db').absolute()}") as mlflow:
        logged = mlflow.get_run(run_id)
        assert logged.data.metrics["test_errors"] == json.loads(answer)["errors"]
        told = mlflow.artifacts.load_dict(f"runs:/{run_id}/evaluation.json")
        assert told == json.loads(answer)
        folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/model"))
    assert (folder / "model.onnx").read_bytes() == model_path(None).read_bytes()
