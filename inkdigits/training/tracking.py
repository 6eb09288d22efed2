"""Runs and evaluations recorded in MLflow and TensorBoard. The run directory needs neither.

`destinations` is called before a training starts and raises an error for what cannot be reached. `keep` is called when
everything else is done and never raises because of a server, so it cannot lose a training. MLflow's own chatter and
telemetry are off.
"""

import contextlib
import dataclasses
import io
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from inkdigits.errors import MissingExtraError, RecordError, naming_missing_extra, reason
from inkdigits.evaluation.digits import Evaluation
from inkdigits.evaluation.figures import draw_confusion, png_of
from inkdigits.evaluation.model_evaluation import ModelEvaluation
from inkdigits.reading.model import load_card, model_path
from inkdigits.training.recipes import Recipe
from inkdigits.training.runs import Run

EXPERIMENT = "inkdigits"
MODEL = "model"
LOCAL = "local"
SQLITE = "sqlite:///"
# Of MLflow's client: by its own defaults a server that is down is asked for minutes. A user's own settings win.
MLFLOW_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
# MLflow accepts no larger batches.
METRICS_AT_ONCE = 500


@dataclass(frozen=True)
class Record:
    """What is kept of one training or evaluation.

    Attributes:
        name: under which it is listed; slashes group it with others in TensorBoard.
        parameters: every setting; nested ones are flattened to text.
        history: one row an epoch, with "epoch"; none for an evaluation.
        figures: what was measured at the end.
        evaluation: for the confusion matrix and all of its figures, if the test set was read.
        model: an ONNX file.
        folder: files to keep as they are, a run directory say.
        tags: what to find it by.
        started: when it began and
        finished: ended, as ISO 8601 with its zone; None: now.
    """

    name: str
    parameters: Mapping[str, Any]
    history: Sequence[Mapping[str, float]] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    model: Path | None = None
    folder: Path | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    started: str | None = None
    finished: str | None = None


@dataclass(frozen=True)
class Destinations:
    """Where records go; None: not there.

    Attributes:
        mlflow: a tracking URI, complete.
        tensorboard: the folder that `tensorboard --logdir` is to be given.
    """

    mlflow: str | None = None
    tensorboard: Path | None = None

    def __bool__(self) -> bool:
        return self.mlflow is not None or self.tensorboard is not None


def destinations(mlflow: str | None, tensorboard: bool, root: Path) -> Destinations:
    """Return where records go, after making sure that they can.

    Args:
        mlflow: None, "local" for an SQLite database in `root`, or a tracking URI.
        tensorboard: write event files below `root`, in "tensorboard"?
        root: the folder of all runs.

    Raises:
        MissingExtraError: a package is missing. Before anything is trained.
        RecordError: the URI is none, or nothing can be kept there. Before anything is trained.
    """
    uri = f"{SQLITE}{(root / 'mlflow.db').absolute()}" if mlflow == LOCAL else mlflow
    if uri is not None:
        _check_mlflow(uri)
    if tensorboard:
        _check_tensorboard()
    return Destinations(uri, root / "tensorboard" if tensorboard else None)


def record_of(run: Run, evaluation: Evaluation | None = None) -> Record:
    """Return what is kept of a finished run; its directory's files go along."""
    info = run.info
    data = {f"data_{name}": info["data"][name] for name in ("name", "sha256", "n")}
    return Record(
        run.name,
        {**info["recipe"], "seed": run.seed, **data, "backend": info.get("backend", "")},
        history=run.history,
        figures=run.figures,
        evaluation=evaluation,
        model=run.path / "model.onnx",
        folder=run.path,
        tags=_versions(info) | {"run": str(run.path.absolute()), "machine": info.get("machine", "")},
        started=info.get("started"),
        finished=info.get("finished"),
    )


def record_of_trial(
    sweep: str,
    trial: str,
    recipe: Recipe,
    seed: int,
    history: Sequence[Mapping[str, float]],
) -> Record:
    """Return what is kept of one training of a sweep, which leaves no run directory.

    Args:
        sweep: the study's name; a tag in MLflow, a folder in TensorBoard.
        trial: the training's name within it.
        recipe: with its settings.
        seed: fixes all else.
        history: one row an epoch; what it is ranked by, such as "val_accuracy", stands in the last.
    """
    return Record(
        f"{sweep}/{trial}", {**dataclasses.asdict(recipe), "seed": seed}, history=history, tags={"sweep": sweep}
    )


def record_of_evaluation(evaluation: ModelEvaluation, model: Path | None) -> Record:
    """Return what is kept of an evaluation, of a run's model or of any other.

    Args:
        evaluation: what `evaluate` found.
        model: what was evaluated: a run directory, an ONNX file, or None for the networks that ship.
    """
    path, digits = model_path(model), evaluation.digits
    card = digits.card if digits else load_card(model)
    data = {"data": digits.split.source, "data_sha256": digits.split.sha256, "data_n": len(digits)} if digits else {}
    data |= {"outliers": evaluation.outliers.source} if evaluation.outliers else {}
    data |= {"cells": evaluation.cells.source} if evaluation.cells else {}
    seed = {"seed": card["seed"]} if "seed" in card else {}
    return Record(
        f"evaluate {card.get('name', 'model')} {datetime.now():%Y%m%d-%H%M%S}",
        {**card.get("recipe", {}), **seed, **data},
        figures=figures_of(evaluation),
        evaluation=digits,
        model=path,
        tags=_versions(card) | {"model": str(path.absolute())},
    )


def figures_of(evaluation: ModelEvaluation) -> dict[str, float]:
    """Return the chief figures of an evaluation, each under a name that says of what: test, outliers or cells."""
    told = evaluation.to_dict()
    figures = {"n_test": told["n"]} if evaluation.digits else {}
    for name in ("accuracy", "loss", "errors", "calibration_error", "coverage"):
        figures |= {f"test_{name}": told[name]} if evaluation.digits else {}
    for part in ("outliers", "cells"):
        figures |= {f"{part}_{name}": value for name, value in told.get(part, {}).items()}
    return {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}


def keep(record: Record, to: Destinations) -> list[str]:
    """Keep a record and return where it went, in words. What cannot be kept is a warning, not an error.

    Args:
        record: what to keep.
        to: from `destinations`.
    """
    kept = []
    for name, wanted, send in (("MLflow", to.mlflow, _to_mlflow), ("TensorBoard", to.tensorboard, _to_tensorboard)):
        if wanted is None:
            continue
        try:
            kept.append(send(record, to))
        except Exception as error:  # whatever a server or a library does: the training it tells of is done and stays
            warnings.warn(f"{name} did not take the record of {record.name}: {_reason(error)}", stacklevel=2)
    return kept


def _versions(facts: Mapping[str, Any]) -> dict[str, str]:
    return {f"version_{name}": str(number) for name, number in facts.get("versions", {}).items()}


@contextlib.contextmanager
def _mlflow(uri: str) -> Iterator[Any]:
    """Lend MLflow turned to a URI, silent, and turn it back to what it was."""
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, about packages of its own choice
        with naming_missing_extra():
            import mlflow
            import mlflow.onnx

        with _no_log("mlflow", "alembic", "urllib3"):
            before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
            mlflow.set_tracking_uri(uri)
            try:
                yield mlflow
            finally:
                mlflow.set_tracking_uri(before)  # None: as if never set


@contextlib.contextmanager
def _no_log(*names: str) -> Iterator[None]:
    """Silence loggers: what goes wrong comes as an exception, too."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _check_mlflow(uri: str) -> None:
    if "://" not in uri and not uri.startswith("databricks"):
        raise RecordError(f"{uri!r} is no MLflow URI; give {LOCAL}, {SQLITE}FILE.db or the address of a server")
    try:
        if uri.startswith(SQLITE):
            Path(uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        with _mlflow(uri) as mlflow:
            mlflow.MlflowClient().search_experiments(max_results=1)
    except MissingExtraError:
        raise
    except Exception as error:  # MLflow, requests, SQLAlchemy and the operating system each have their own
        raise RecordError(f"{_without_password(uri)}: MLflow cannot keep records there: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Return why MLflow failed, in one line: its own words are a paragraph."""
    text = str(error)
    if "Max retries exceeded" in text or isinstance(error, ConnectionError):
        return "no server answers; start one with `mlflow server`, or give another URI"
    if "maintenance mode" in text:
        return f"it no longer writes plain folders; give {LOCAL} or {SQLITE}FILE.db"
    return reason(error)


def _without_password(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//", uri)


def _to_mlflow(record: Record, to: Destinations) -> str:
    assert to.mlflow is not None
    with _mlflow(to.mlflow) as mlflow:
        client = mlflow.MlflowClient()
        experiment = _experiment(client, to.mlflow)
        tags = {name: value for name, value in record.tags.items() if value}
        run = client.create_run(experiment, start_time=_ms(record.started), tags=tags, run_name=record.name)
        run_id = run.info.run_id
        try:
            _log_numbers(client, run_id, record)
            _log_files(client, run_id, record)
            if record.model is not None:
                _log_model(mlflow, experiment, run_id, record)
        except BaseException:
            with contextlib.suppress(Exception):
                client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id, end_time=_ms(record.finished))
    return f"MLflow: {_without_password(to.mlflow)}, run {run_id}"


def _experiment(client: Any, uri: str) -> str:
    """Return the id of our experiment, made where there is none."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # MLflow would put the files of a database of one's own wherever the program happens to run; a server knows where.
    beside = Path(uri.removeprefix(SQLITE)).absolute().with_name("mlflow").as_uri() if uri.startswith(SQLITE) else None
    return str(client.create_experiment(name, artifact_location=beside))


def _ms(moment: str | None) -> int:
    """Return a moment in milliseconds since 1970, as MLflow counts; now for None."""
    return int((datetime.fromisoformat(moment) if moment else datetime.now()).timestamp() * 1000)


def _log_numbers(client: Any, run_id: str, record: Record) -> None:
    from mlflow.entities import Metric, Param

    client.log_batch(run_id, params=[Param(name, _as_text(value)) for name, value in record.parameters.items()])
    metrics, at = [], float(_ms(record.started))
    for row in record.history:
        at += 1000 * row.get("seconds", 0.0)
        named = [(name, value) for name, value in row.items() if name != "epoch"]
        metrics += [Metric(name, float(value), int(at), int(row["epoch"])) for name, value in named]
    last, end = _last_epoch(record), _ms(record.finished)
    metrics += [Metric(name, float(value), end, last) for name, value in record.figures.items()]
    for start in range(0, len(metrics), METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_AT_ONCE])


def _last_epoch(record: Record) -> int:
    return int(record.history[-1]["epoch"]) if record.history else 0


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _log_files(client: Any, run_id: str, record: Record) -> None:
    """Log the folder as it is, and the evaluation: every figure as JSON, the confusion matrix as a picture."""
    if record.folder is not None:
        client.log_artifacts(run_id, str(record.folder), "run")
    if record.evaluation is not None:
        client.log_text(run_id, json.dumps(record.evaluation.to_dict(), indent=1), "evaluation.json")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "confusion_matrix.png"
            path.write_bytes(png_of(draw_confusion(record.evaluation.confusion, record.evaluation.class_names)))
            client.log_artifact(run_id, str(path))


def _log_model(mlflow: Any, experiment: str, run_id: str, record: Record) -> None:
    """Log the ONNX file as a model that `mlflow.onnx.load_model` gives back, the card inside it."""
    import numpy as np
    import onnx
    import onnxruntime
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    proto = onnx.load(record.model)
    n_classes = proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value or -1
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.uint8), (-1, 28, 28), "images")]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, n_classes), "scores")]),
    )
    params = {name: _as_text(value) for name, value in record.parameters.items()}
    # Made here and not by `log`, which would put it into whatever experiment is the process's own.
    model = mlflow.MlflowClient().create_logged_model(experiment, MODEL, source_run_id=run_id, params=params)
    Model.log(
        artifact_path=None,
        flavor=mlflow.onnx,
        model_id=model.model_id,
        run_id=run_id,
        onnx_model=proto,
        signature=signature,
        # Said, or MLflow starts a process that loads the model to find out.
        pip_requirements=[f"onnx=={onnx.__version__}", f"onnxruntime=={onnxruntime.__version__}"],
        save_as_external_data=False,
    )


def _check_tensorboard() -> None:
    with naming_missing_extra():
        import tensorboard  # noqa: F401
        import tensorflow  # noqa: F401


def _to_tensorboard(record: Record, to: Destinations) -> str:
    import tensorflow as tf

    assert to.tensorboard is not None
    # A name may come out of a stranger's model file: it must not lead out of the folder.
    words = [re.sub(r"[^\w.-]+", "-", word) for word in record.name.split("/")]
    folder = to.tensorboard.joinpath(*(word for word in words if word.strip(".")))
    for part, curves in _parts(record).items():
        # As Keras does: one measure is one chart, in which training, validation and test are lines of their own.
        with _writing(tf, folder / part):
            for name, step, value in curves:
                tf.summary.scalar(name, value, step=step)
    with _writing(tf, folder):
        _write_parameters(tf, record)
        if record.evaluation is not None:
            png = png_of(draw_confusion(record.evaluation.confusion, record.evaluation.class_names))
            tf.summary.image("confusion matrix", tf.image.decode_png(png, channels=3)[None], step=0)
    return f"TensorBoard: tensorboard --logdir {to.tensorboard}"


@contextlib.contextmanager
def _writing(tf: Any, folder: Path) -> Iterator[None]:
    writer = tf.summary.create_file_writer(str(folder))
    try:
        with writer.as_default():
            yield
    finally:
        writer.close()


def _parts(record: Record) -> dict[str, list[tuple[str, int, float]]]:
    """Return "training", "validation", "test" -> (measure, epoch, value) of every point; only parts that have some."""
    parts: dict[str, list[tuple[str, int, float]]] = {}
    rows = [
        (int(row["epoch"]), name, value) for row in record.history for name, value in row.items() if name != "epoch"
    ]
    for epoch, name, value in rows:
        part = "validation" if name.startswith("val_") else "training"
        parts.setdefault(part, []).append((name.removeprefix("val_"), epoch, value))
    if record.figures:
        last = _last_epoch(record)
        parts["test"] = [(name.removeprefix("test_"), last, value) for name, value in record.figures.items()]
    return parts


def _write_parameters(tf: Any, record: Record) -> None:
    from tensorboard.plugins.hparams import api

    shown = {
        name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for name, value in record.parameters.items()
    }
    api.hparams(shown, trial_id=record.name)
    rows = "\n".join(f"| {name} | {value} |" for name, value in shown.items())
    place = f"\n\nmodel: `{record.model.absolute()}`" if record.model else ""
    tf.summary.text("parameters", f"| setting | value |\n|---|---|\n{rows}{place}", step=0)
