"""One training from its settings to a complete run directory: recipe, data, loop, export, evaluation."""

import dataclasses
import logging
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras

from inkdigits.data.loading import load_data
from inkdigits.data.splits import DIGITS, Split, hold_out
from inkdigits.errors import DataError, ModelError, RecipeError, RunError, TrainingError
from inkdigits.evaluation.digits import Evaluation, evaluate
from inkdigits.evaluation.inspection import look_inside
from inkdigits.evaluation.report import save_run_report
from inkdigits.reading.finder import Finder
from inkdigits.reading.held_out import save_held_out
from inkdigits.reading.model import OnnxModel, model_path
from inkdigits.reading.normalise.version import normalisation_version
from inkdigits.reading.reader import Reader
from inkdigits.training import (
    digit_net,
    export,
    finder_model,
    finder_net,
    line_model,
    line_net,
    loop,
    networks,
    recipes,
    runs,
    tracking,
)
from inkdigits.training.ensemble import card_of_member
from inkdigits.training.epochs import epochs_of
from inkdigits.training.recipes import FinderRecipe, LineRecipe, Recipe
from inkdigits.training.runs import Run

logger = logging.getLogger(__name__)


def train(
    recipe: "str | keras.Model | None" = None,
    *,
    data: "Path | str | tuple[Split, Split] | None" = None,
    runs_dir: Path | str = runs.DEFAULT_ROOT,
    seed: int | None = None,
    teacher: str | Path | None = None,
    resume: str | Path | None = None,
    progress: bool = True,
    mlflow: str | None = None,
    tensorboard: bool = False,
    facts: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Run:
    """Train and return the finished run.

    Args:
        recipe: a recipe's name ("hidden" for None), or your own Keras model (see `networks.adopt` for its input).
        data: None for MNIST, a path in MNIST's format, or (train, test). The test part is read once, at the end.
        runs_dir: where the run directory is made.
        seed: >= 0, 0 for None; fixes first weights, order and everything else.
        teacher: a run or an ONNX file whose probabilities are learned in place of the labels (see `ensemble`).
        resume: an unfinished run to continue, by name or path; recipe, seed and settings are then the run's.
        progress: print epochs and a bar to stderr.
        mlflow: keep a record in MLflow as well: "local" for a database in `runs_dir`, or a tracking URI.
        tensorboard: keep one for TensorBoard, in the folder "tensorboard" in `runs_dir`.
        facts: what run.json is to hold besides, such as the sweep that chose the settings.
        changes: fields of `Recipe`, such as `activation="tanh"`, `hidden=(300, 100)`, `epochs=10`. All recipes but
            "fast" and "champion" hold out 5,000 training images for validation (a sixth of the images where they are
            few); `validation=0` trains on all.

    Raises:
        RecipeError: an unknown recipe, setting or name; raised before anything is read or written.
        ModelError: there is no such teacher, or it knows other classes.
        DataError: the data cannot be loaded.
        TrainingError: the loss is no longer a number.
        ModelError: the exported model does not agree with Keras's.
        RunError: the run directory cannot be written, or cannot be resumed.
        RecordError: MLflow or TensorBoard cannot keep records; raised before anything is trained. What goes wrong with
            them later is a warning: the run is complete without.
    """
    root = Path(runs_dir)
    if resume is not None:
        # Checked before a checkpoint is read: other settings would not end where the run was going.
        run = _resumable(resume, root, recipe, seed, changes)
        to = tracking.destinations(mlflow, tensorboard, root)
        train_split, test = _load(data if data is not None else run.info["data"]["path"])
        _check_same(run, train_split, teacher)
        model = keras.models.load_model(run.initial)
    else:
        model, chosen = _model_and_recipe("hidden" if recipe is None else recipe, changes, seed or 0)
        to = tracking.destinations(mlflow, tensorboard, root)
        train_split, test = _load(data)
        path = str(Path(data).absolute()) if isinstance(data, str | Path) else None
        run, model = _start(root, model, chosen, changes, seed or 0, train_split, path, teacher, facts)
    try:
        run, evaluation = _go(run, model, train_split, test, progress)
    except (TrainingError, RecipeError):
        run.discard()
        raise
    except KeyboardInterrupt:
        if progress:
            logger.info("stopped; continue with `inkdigits train --resume %s`", run.path)
        raise
    for kept in tracking.keep(tracking.record_of(run, evaluation), to):
        if progress:
            logger.info(kept)
    return run


def _check_same(run: Run, train_split: Split, teacher: str | Path | None) -> None:
    """Raise RunError unless data and teacher are those that the run was started with."""
    if teacher is not None and str(Path(teacher).absolute()) != (run.info.get("teacher") or {}).get("path"):
        raise RunError(f"{run.name}: was not started with this teacher; leave --teacher out to resume it")
    if (run.info["data"]["sha256"], run.info["data"]["n"]) != (train_split.sha256, len(train_split)):
        raise RunError(f"{run.name}: was trained on other data; give the same --data to resume it")


def _start(
    root: Path,
    model: keras.Model | None,
    recipe: Recipe,
    changes: Mapping[str, Any],
    seed: int,
    train_split: Split,
    path: str | None,
    teacher: str | Path | None,
    facts: Mapping[str, Any] | None,
) -> tuple[Run, keras.Model]:
    """Make the run directory of a new training, with its model as it begins; all that can be wrong is found first."""
    if isinstance(recipe, LineRecipe | FinderRecipe):
        _check_digits_compose(recipe, train_split, teacher)
    if "validation" not in changes:
        recipe = dataclasses.replace(recipe, validation=min(recipe.validation, len(train_split) // 6))
    if recipe.validation:
        hold_out(train_split, recipe.validation, seed)
    taught_by = _teacher(teacher, train_split) if teacher is not None else None
    if taught_by:
        _check_taught(recipe, changes)
        recipe = networks.check(recipes.change(recipe, loss="categorical_crossentropy", label_smoothing=0.0))
    if isinstance(recipe, LineRecipe):
        model = line_net.build(recipe, seed, recipe.precision)
    elif isinstance(recipe, FinderRecipe):
        model = finder_net.build(recipe, seed, recipe.precision)
    elif model is None:
        model = networks.build(recipe, seed, len(train_split.class_names))
    info = _info(recipe, seed, train_split, path, taught_by) | dict(facts or {})
    run = runs.start(root, recipe.name, info)
    model.save(run.initial)
    return run, model


def _check_digits_compose(recipe: Recipe, train_split: Split, teacher: str | Path | None) -> None:
    """Raise DataError for what lines or pages of digits cannot be composed of."""
    what = "lines" if isinstance(recipe, LineRecipe) else "pages"
    if train_split.class_names != DIGITS:
        raise DataError(f"{train_split.source}: {what} are composed of the digits 0 to 9, and these are other classes")
    if teacher is not None:
        raise RecipeError(f"a teacher knows single digits; leave it out for the recipe {recipe.name!r}")


def _check_taught(recipe: Recipe, changes: Mapping[str, Any]) -> None:
    """Raise RecipeError for settings that a teacher replaces."""
    said = [name for name in ("loss", "label_smoothing") if name in changes] + ["composed"] * bool(recipe.composed)
    if said:
        raise RecipeError(
            f"{said[0]} does not go with a teacher, whose probabilities of distorted digits are learned by "
            "cross-entropy; leave one of the two out"
        )


def _model_and_recipe(
    recipe: "str | keras.Model", changes: dict[str, Any], seed: int
) -> tuple[keras.Model | None, Recipe]:
    """Return the user's own model, if it is one, and the settings; every error in them is raised here."""
    if isinstance(recipe, str):
        return None, networks.for_this_machine(networks.check(recipes.resolve(recipe, **changes)), changes)
    keras.utils.set_random_seed(seed)
    model = networks.adopt(recipe)
    return model, networks.check(recipes.change(Recipe("own", output=networks.output_of(model)), **changes))


def _load(data: "Path | str | tuple[Split, Split] | None") -> tuple[Split, Split]:
    if isinstance(data, tuple):
        return data
    return load_data(Path(data) if data is not None else None)


def _resumable(name: str | Path, root: Path, recipe: Any, seed: int | None, changes: dict[str, Any]) -> Run:
    """Return the run to continue; whatever is said beside its name must be what it was started with."""
    run = runs.read(name, root)
    if run.finished:
        raise RunError(f"{run.name}: is finished, nothing is left to resume; train again for other settings")
    said: dict[str, Any] = dataclasses.asdict(recipes.change(run.recipe, **changes)) | {"seed": run.seed}
    said |= {"name": recipe} if recipe is not None else {}
    said |= {"seed": seed} if seed is not None else {}
    for field, was in (dataclasses.asdict(run.recipe) | {"seed": run.seed}).items():
        if said[field] != was:
            word = "recipe" if field == "name" else field
            raise RunError(
                f"{run.name}: was started with {word} {was!r}, not {said[field]!r}; a resumed run keeps its settings, "
                "so leave that out or train again"
            )
    return run


def _go(run: Run, model: keras.Model, train_split: Split, test: Split, progress: bool) -> tuple[Run, Evaluation | None]:
    """Train from wherever the run stands, export, evaluate, finish."""
    start = time.perf_counter()
    part, validation = (train_split, None)
    if run.recipe.validation:
        part, validation = hold_out(train_split, run.recipe.validation, run.seed)
    history = _fit(run, model, part, validation, progress)
    run.save_history(history)
    if isinstance(run.recipe, LineRecipe):
        assert validation is not None  # the recipe holds some out
        trained, figures = _finish_lines(run, run.recipe, model, validation, test)
    elif isinstance(run.recipe, FinderRecipe):
        assert validation is not None
        trained, figures = _finish_finder(run, run.recipe, model, validation, test)
    else:
        trained, figures = _finish_digits(run, model, train_split, validation, test)
    trained.save(run.path / "model.keras")
    seconds = run.info.get("seconds", 0.0) + time.perf_counter() - start
    run = run.save_info(figures=figures, finished=_now(), seconds=round(seconds, 3))
    evaluation = None if isinstance(run.recipe, LineRecipe | FinderRecipe) else _report(run, test, history)
    return run.finish(), evaluation


def _fit(run: Run, model: keras.Model, part: Split, validation: Split | None, progress: bool) -> loop.History:
    recipe, runner = run.recipe, None
    if isinstance(recipe, LineRecipe):
        line_net.prepare(model, recipe)
        runner, validation = line_net.runner_for(model, recipe), None
    elif isinstance(recipe, FinderRecipe):
        finder_net.prepare(model, recipe)
        runner, validation = finder_net.runner_for(model, recipe), None
    teacher = _unchanged_teacher(run) if run.info.get("teacher") else None
    with epochs_of(part, recipe, run.seed, teacher) as source:
        return loop.fit(
            model,
            recipe,
            source,
            validation,
            seed=run.seed,
            checkpoint=run.checkpoint,
            on_epoch=run.save_history,
            progress=progress,
            runner=runner,
        )


def _finish_digits(
    run: Run, model: keras.Model, train_split: Split, validation: Split | None, test: Split
) -> tuple[keras.Model, dict[str, float]]:
    """Write model.onnx and return the trained model in float32 with its figures."""
    recipe = run.recipe
    trained = networks.in_float32(model)
    output = networks.output_of(trained)
    if recipe.output == "logits_none":
        # Evaluated as it is read with: by the likeliest digit, whether "not a digit" is likelier or not.
        trained, output = digit_net.relative(trained), recipe.output
    if not trained.compiled:
        networks.compile_for(trained, recipe, 1)
    figures = evaluate_keras(trained, test)
    modest = bool(recipe.label_smoothing or run.info.get("teacher"))
    card = card_of(run, figures) | {
        "kind": "digit",
        "output": output,
        "classes": list(train_split.class_names),
        "normalisation": normalisation_version("digit"),
        **digit_net.calibrate(trained, output, validation, train_split, modest and output != "logits_none"),
    }
    export.export(trained, run.path / "model.onnx", card)
    export.agree(trained, run.path / "model.onnx", test.images)
    if validation is not None and train_split.class_names == DIGITS:
        save_held_out(OnnxModel(run.path / "model.onnx"), validation.images, validation.labels)
    return trained, figures


def _finish_lines(
    run: Run, recipe: LineRecipe, model: keras.Model, validation: Split, test: Split
) -> tuple[keras.Model, dict[str, float]]:
    """Write model.onnx and return the trained line network in float32 with its figures."""
    trained = line_net.build(recipe, run.seed)
    trained.set_weights(model.get_weights())
    path, card = run.path / "model.onnx", card_of(run, {}) | line_model.card_of_lines(recipe)
    line_model.export_line(trained, path, card)
    line_model.calibrate(path, recipe, validation, test)
    figures: dict[str, float] = OnnxModel(path).card["figures"]
    return trained, figures


def _finish_finder(
    run: Run, recipe: FinderRecipe, model: keras.Model, validation: Split, test: Split
) -> tuple[keras.Model, dict[str, float]]:
    """Write model.onnx and return the trained finder in float32 with its figures."""
    trained = finder_net.build(recipe, run.seed)
    trained.set_weights(model.get_weights())
    path, card = run.path / "model.onnx", card_of(run, {}) | finder_model.card_of_finder(recipe)
    finder_model.export_finder(trained, path, card)
    finder = Finder(path)  # the exported model, by the path that users take
    held_out = finder_model.held_out_pages(validation, finder_model.CALIBRATION)
    threshold = finder_model.choose_threshold(finder, held_out)
    rows = finder_model.fit_rows(finder, finder_model.held_out_pages(validation, finder_model.CALIBRATION))
    unseen = finder_model.held_out_pages(test, finder_model.TEST)
    figures = finder_model.evaluate_pages(finder, unseen, threshold)
    export.write_card(path, card | {"threshold": threshold, "rows": rows, "figures": figures})
    return trained, figures


def _report(run: Run, test: Split, history: loop.History) -> Evaluation:
    """Evaluate the exported model by the path that users take and write report.html and the figures."""
    evaluation = evaluate(Reader(run.path), test)
    inside = look_inside(OnnxModel(run.path / "model.onnx"), test.images[:1])
    save_run_report(run.path, evaluation, history, run.info, inside)
    return evaluation


def _teacher(teacher: str | Path, train_split: Split) -> dict[str, str]:
    """Return what run.json says of a teacher that may teach this data."""
    path = model_path(teacher).absolute()
    card = card_of_member(path)
    if card["classes"] != list(train_split.class_names):
        raise ModelError(f"{path}: teaches other classes than the data has")
    return {"path": str(path), "name": card["name"], "sha256": sha256(path.read_bytes()).hexdigest()}


def _unchanged_teacher(run: Run) -> Path:
    """Return the teacher's file, which must be the one that the run was started with."""
    path = Path(run.info["teacher"]["path"])
    if not path.is_file() or sha256(path.read_bytes()).hexdigest() != run.info["teacher"]["sha256"]:
        raise RunError(f"{run.name}: its teacher, {path}, is gone or has changed; train again")
    return path


def evaluate_keras(model: keras.Model, test: Split) -> dict[str, float]:
    """Return Keras's loss and accuracy on the test split, with the count of errors."""
    targets = loop.targets_for(model, test.labels)
    loss, accuracy = model.evaluate(test.images, targets, batch_size=1000, verbose=0)
    n_errors = len(test) - round(accuracy * len(test))
    return {
        "test_loss": float(loss),
        "test_accuracy": (len(test) - n_errors) / len(test),
        "test_errors": n_errors,
        "n_test": len(test),
    }


def card_of(run: Run, figures: dict[str, float]) -> dict[str, Any]:
    """Return what every model card says; nothing in it tells of this machine's folders."""
    teacher = run.info.get("teacher")
    return {
        "format": 1,
        "name": run.name,
        "recipe": run.info["recipe"],
        "seed": run.seed,
        **({"teacher": {name: teacher[name] for name in ("name", "sha256")}} if teacher else {}),
        "data": {name: run.info["data"][name] for name in ("name", "sha256", "n")},
        "versions": run.info["versions"],
        "figures": figures,
    }


def _info(recipe: Recipe, seed: int, split: Split, path: str | None, teacher: dict[str, str] | None) -> dict[str, Any]:
    return {
        "format": 1,
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "data": {"name": split.data_name, "sha256": split.sha256, "n": len(split), "path": path},
        "teacher": teacher,
        "backend": keras.backend.backend(),
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "started": _now(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages which a training depends on, of those that are installed."""
    found = {"python": platform.python_version()}
    for package in (
        "inkdigits",
        "keras",
        "tensorflow",
        "tensorflow-cpu",
        "jax",
        "numpy",
        "onnx",
        "tf2onnx",
        "onnxruntime",
    ):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
