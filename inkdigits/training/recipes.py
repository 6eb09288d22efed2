"""The named recipes: what a training is, as data. Whether Keras knows the names in them is for `models.check`."""

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from inkdigits.errors import RecipeError

# What the last layer's numbers are: the model card hands these words on to the Reader.
OUTPUTS = ("sigmoid", "softmax", "logits", "logits_none")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("float32", "mixed_bfloat16")


@dataclass(frozen=True)
class Recipe:
    """Every hyperparameter of one training; each field is a flag of `inkdigits train`.

    Attributes:
        name: the recipe's name.
        hidden: units of each dense hidden layer, from the pixels on.
        convolutions: layer by layer: "5x32" is a 5 x 5 convolution of 32 channels that keeps to
            the inside, "pool" a 2 x 2 maximum. Letters behind say more: "3x32s" gives as many places as it gets,
            "5x32d" computes every second place alone (stride 2), "3x32p" takes the 2 x 2 maximum before it
            normalises and activates, which is four times less work than after.
        batch_norm: normalise the outputs of each convolution, and of each hidden layer behind convolutions.
        dropout: in [0, 1), the share of units left out before the last layer while training.
        activation: of hidden layers and convolutions; any name Keras knows.
        optimizer: any name Keras knows.
        learning_rate: > 0; the peak of the schedule. None: Keras's own default for the optimizer.
        beta_1: in [0, 1), how long Adam and its kin remember gradients; None: Keras's own default.
        beta_2: in [0, 1), how long they remember the gradients' squares; None: Keras's own default.
        weight_decay: >= 0, share of a weight taken off it each step, times the learning rate; None: Keras's own
            default for the optimizer.
        schedule: "constant", or "cosine" from the learning rate to 0 after a warm-up over 10 % of the steps.
        loss: any name Keras knows; those that want one-hot labels get them.
        label_smoothing: in [0, 1); for (sparse) categorical cross-entropy.
        ema: in [0, 1), momentum of the weights' moving average, which are the weights kept; 0: no average.
        output: "sigmoid" as in the tutorial (ten numbers that do not sum to 1), "softmax", "logits", or
            "logits_none": logits relative to those of a further class, "no digit".
        distortion: >= 0, how far each epoch turns, slants, stretches, moves and bends its images (1: by some 10 %).
        composed: >= 0, how many pictures `augmentation` composes for each epoch; 0: the images as they are.
        epochs: >= 1.
        batch_size: >= 1.
        validation: >= 0, images held out from the training set and judged after each epoch.
        precision: "float32" or "mixed_bfloat16" arithmetic while training; weights and exports are float32.
    """

    # Fields that this kind of recipe has no use for.
    without: ClassVar[tuple[str, ...]] = ()

    name: str
    hidden: tuple[int, ...] = ()
    convolutions: tuple[str, ...] = ()
    batch_norm: bool = True
    dropout: float = 0.0
    activation: str = "relu"
    optimizer: str = "adam"
    learning_rate: float | None = None
    beta_1: float | None = None
    beta_2: float | None = None
    weight_decay: float | None = None
    schedule: str = "constant"
    loss: str = "sparse_categorical_crossentropy"
    label_smoothing: float = 0.0
    ema: float = 0.0
    output: str = "softmax"
    distortion: float = 0.0
    composed: int = 0
    epochs: int = 5
    batch_size: int = 32
    validation: int = 0
    precision: str = "float32"


@dataclass(frozen=True)
class Stage:
    """A part of the line network's training.

    Attributes:
        shares: style of `synthesis.styles.STYLES` -> its share of the lines; they sum to 1.
        epochs: how many it lasts, where the recipe's number of epochs is the sum of all stages'; more or fewer epochs
            stretch or shorten all stages alike.
        rates: learning rates at its beginning and its end, as shares of the recipe's; a half cosine lies between.
    """

    shares: Mapping[str, float]
    epochs: int
    rates: tuple[float, float]


@dataclass(frozen=True)
class LineRecipe(Recipe):
    """The training of the line network: lines composed anew each epoch, CTC, stages from easy to hard.

    Of the fields of every recipe, `composed` is lines composed for an epoch, `batch_size` lines of 96 pixels a step (of
    narrow ones more, of wide ones fewer), `validation` MNIST digits held out for calibration, and `schedule` "cosine"
    what the stages say, "constant" the learning rate throughout.

    Attributes:
        height: of line images in pixels, a multiple of 8.
        channels: of the five steps of the network, from the pixels on.
        stages: one after the other.
        passes: how often an epoch uses each line, warped anew.
        views: (zoom, shear) of each view of a line that is read; texts' probabilities are averaged over them.
    """

    without = ("hidden", "convolutions", "batch_norm", "activation", "loss", "label_smoothing", "output", "distortion")

    height: int = 32
    channels: tuple[int, int, int, int, int] = (20, 32, 48, 96, 192)
    stages: tuple[Stage, ...] = ()
    passes: int = 3
    views: tuple[tuple[float, float], ...] = ((0.92, 0.0), (1.1, 0.0))


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        # The tutorial's parts 1 and 2. Its figures depend on sigmoid outputs under a loss made for softmax.
        Recipe("linear", output="sigmoid"),
        Recipe("hidden", hidden=(100,), output="sigmoid"),
        # The tutorial's promised next article.
        Recipe(
            "cnn",
            convolutions=("5x16s", "pool", "5x32s", "pool", "3x64s"),
            batch_norm=False,
            dropout=0.3,
            learning_rate=3e-3,
            schedule="cosine",
            batch_size=64,
            precision="mixed_bfloat16",
        ),
        # 99 % as soon as can be: early stride, few channels, one epoch at a large rate with a short memory.
        Recipe(
            "fast",
            convolutions=("5x16dp", "3x32"),
            hidden=(128,),
            learning_rate=0.02,
            beta_1=0.7,
            beta_2=0.9,
            schedule="cosine",
            label_smoothing=0.15,
            output="logits",
            epochs=1,
            batch_size=125,
            precision="mixed_bfloat16",
        ),
        # Accuracy on MNIST itself (docs/champion.md); CPU minutes, not hours.
        Recipe(
            "champion",
            convolutions=("3x32", "3x32p", "3x64", "3x64p", "3x128s", "3x128"),
            dropout=0.3,
            optimizer="adamw",
            learning_rate=2e-3,
            schedule="cosine",
            label_smoothing=0.05,
            ema=0.998,
            output="logits",
            distortion=0.7,
            epochs=30,
            batch_size=128,
            precision="mixed_bfloat16",
        ),
        # The digit net that ships.
        Recipe(
            "reader",
            convolutions=("5x32", "pool", "3x48", "3x64", "pool", "3x96s", "3x128"),
            dropout=0.3,
            optimizer="adamw",
            learning_rate=3e-3,
            schedule="cosine",
            label_smoothing=0.02,
            ema=0.998,
            output="logits_none",
            composed=24576,
            epochs=75,
            batch_size=256,
            validation=5000,
            precision="mixed_bfloat16",
        ),
        # The line network that ships: 940,000 lines, repetitions counted.
        LineRecipe(
            "line",
            dropout=0.1,
            optimizer="adamw",
            learning_rate=1.5e-3,
            weight_decay=2e-2,
            schedule="cosine",
            loss="ctc",
            ema=0.998,
            output="logits",
            composed=6144,
            epochs=51,
            batch_size=128,
            validation=5000,
            precision="mixed_bfloat16",
            stages=(
                # CTC does not take off on hard lines from nothing: it starts on plain digits side by side.
                Stage({"clean": 1.0}, 3, (1.0, 2 / 3)),
                Stage({"cell": 0.8, "row": 0.2}, 5, (2 / 3, 0.6)),
                Stage({"cell": 0.8, "row": 0.2}, 20, (2 / 3, 1 / 30)),
                Stage({"cell": 0.8, "row": 0.2}, 23, (0.4, 1 / 150)),
            ),
        ),
    )
}


def resolve(name: str, **changes: Any) -> Recipe:
    """Return the recipe called `name` with some of its fields changed.

    Raises:
        RecipeError: no such recipe or field, or a value out of its range; the message gives the nearest names.
    """
    if name not in RECIPES:
        raise RecipeError(f"no recipe {name!r}; {nearest(name, list(RECIPES))}")
    return change(RECIPES[name], **changes)


def resolve_digit(name: str, **changes: Any) -> Recipe:
    """Return what `resolve` does, of recipes whose networks classify single digits.

    Raises:
        RecipeError: also for the line network's recipe.
    """
    recipe = resolve(name, **changes)
    if isinstance(recipe, LineRecipe):
        raise RecipeError(f"the recipe {name!r} trains a network for lines; choose one for single digits")
    return recipe


def from_dict(stored: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `dataclasses.asdict` made this of, lists in the place of tuples allowed.

    A field that another version of inkdigits has is no reason not to read its recipes.
    """
    kind = LineRecipe if "stages" in stored else Recipe
    fields = {field.name: _tuples(stored[field.name]) for field in dataclasses.fields(kind) if field.name in stored}
    if "stages" in fields:
        fields["stages"] = tuple(Stage(**stage) for stage in fields["stages"])
    return kind(**fields)


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _tuples(each) for name, each in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def change(recipe: Recipe, **changes: Any) -> Recipe:
    """Return `recipe` with some of its fields changed.

    Raises:
        RecipeError: no such field, or a value out of its range.
    """
    fields = [each.name for each in dataclasses.fields(recipe) if each.name not in ("name", *recipe.without)]
    for field in changes:
        if field in recipe.without:
            raise RecipeError(f"the recipe {recipe.name!r} has no setting {field!r}; leave it out")
        if field not in fields:
            raise RecipeError(f"recipes have no setting {field!r}; {nearest(field, fields)}")
    if "hidden" in changes:
        changes["hidden"] = _sizes("hidden", changes["hidden"])
    if "convolutions" in changes:
        changes["convolutions"] = _convolutions(changes["convolutions"])
    changed = dataclasses.replace(recipe, **changes)
    _check_ranges(changed)
    return changed


def nearest(name: str, names: list[str]) -> str:
    """Return words for an error message: the known names nearest to `name`, or all where none is near."""
    by_lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(str(name).lower(), list(by_lower), n=3, cutoff=0.5)
    if near:
        return "nearest: " + ", ".join(by_lower[each] for each in near)
    return "there are: " + ", ".join(sorted(names))


def _sizes(field: str, value: Any) -> tuple[int, ...]:
    sizes = (value,) if isinstance(value, int) else tuple(value)
    if not all(isinstance(size, int) and 1 <= size <= 10_000 for size in sizes):
        raise RecipeError(f"{field} must be whole numbers of units from 1 to 10000, got {value!r}")
    return sizes


def _convolutions(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    for name in names:
        if not re.fullmatch(r"pool|[1-9]x[1-9]\d{0,3}s?d?p?", str(name)):
            raise RecipeError(
                f"a convolution is written like 5x32 (1 to 9, 1 to 9999), 3x32s, 5x32dp or pool, got {name!r}"
            )
    return names


def _check_ranges(recipe: Recipe) -> None:
    for field, choices in (("output", OUTPUTS), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
        value = getattr(recipe, field)
        if value not in choices:
            raise RecipeError(f"no {field} {value!r}; {nearest(value, list(choices))}")
    for field, least, most in (
        ("epochs", 1, 100_000),
        ("batch_size", 1, 100_000),
        ("validation", 0, 1_000_000),
        ("composed", 0, 10_000_000),
    ):
        value = getattr(recipe, field)
        if not isinstance(value, int) or not least <= value <= most:
            raise RecipeError(f"{field} must be a whole number from {least} to {most}, got {value!r}")
    for field in ("label_smoothing", "ema", "dropout"):
        if not 0 <= getattr(recipe, field) < 1:
            raise RecipeError(f"{field} must be at least 0 and under 1, got {getattr(recipe, field)!r}")
    if recipe.learning_rate is not None and not 0 < recipe.learning_rate < 1e6:
        raise RecipeError(f"learning_rate must be over 0 and under a million, got {recipe.learning_rate!r}")
    for field in ("beta_1", "beta_2"):
        value = getattr(recipe, field)
        if value is not None and not 0 <= value < 1:
            raise RecipeError(f"{field} must be at least 0 and under 1, got {value!r}")
    for field, most in (("weight_decay", 1), ("distortion", 10)):
        value = getattr(recipe, field)
        if value is not None and not 0 <= value <= most:
            raise RecipeError(f"{field} must be from 0 to {most}, got {value!r}")
    if isinstance(recipe, LineRecipe):
        _check_lines(recipe)
    elif recipe.composed and recipe.output != "logits_none":
        raise RecipeError(
            "composed pictures include some that are no digit, which only nets with output logits_none can say: leave "
            "composed out, or take the recipe reader"
        )
    if recipe.distortion and recipe.composed:
        raise RecipeError(
            "distortion goes with the images as they are, not with composed ones: leave one of the two out"
        )
    if recipe.label_smoothing and "categorical_crossentropy" not in recipe.loss:
        raise RecipeError(f"label_smoothing goes with (sparse_)categorical_crossentropy, not with {recipe.loss!r}")


def _check_lines(recipe: LineRecipe) -> None:
    # Ten digits, or some class may be missing among those that calibration lines are composed of.
    for field, least in (("composed", 1), ("validation", 10)):
        if getattr(recipe, field) < least:
            raise RecipeError(f"the recipe {recipe.name!r} needs {field} of at least {least}")
