"""The named recipes: what a training is, as data. Whether Keras knows the names in them is for `networks.check`."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from inkdigits.errors import RecipeError
from inkdigits.training.hyperparameters import (
    Choice,
    Hyperparameter,
    KerasName,
    Layers,
    Number,
    Switch,
    Whole,
    hyperparameter,
    nearest,
)

# What the last layer's numbers are: the model card hands these words on to the Reader.
OUTPUTS = ("sigmoid", "softmax", "logits", "logits_none")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("float32", "mixed_bfloat16")


@dataclass(frozen=True)
class Recipe:
    """Every hyperparameter of one training.

    A field's metadata says what it is (see `hyperparameters`): its flags of `train` and `sweep`, its
    range and its place in a sweep's search space follow from this one entry.
    """

    # Fields that this kind of recipe has no use for.
    without: ClassVar[tuple[str, ...]] = ()

    name: str
    hidden: tuple[int, ...] = hyperparameter(
        (),
        Layers(
            help="Units of the dense hidden layers, such as 100 or 300+100, or none.",
            sweep_help="Units of the hidden layers, such as 100,300+100,none.",
            metavar="UNITS",
            layer=int,
            pattern=r"[1-9]\d{0,3}|10000",
            says="whole numbers of units from 1 to 10000, such as 100 or 300+100",
        ),
    )
    # "5x32": a 5 x 5 convolution of 32 channels without padding; "pool": a 2 x 2 maximum. Letters after it: "s" pads to
    # the same size, "d" takes every second place (stride 2), "p" takes the 2 x 2 maximum before it normalises and
    # activates, which is four times less work than after.
    convolutions: tuple[str, ...] = hyperparameter(
        (),
        Layers(
            help="Layers before those, such as 5x16s+pool+3x64p, or none.",
            sweep_help="Layers before those, such as 5x16s+pool,3x8+pool+3x16,none.",
            layer=str,
            pattern=r"pool|[1-9]x[1-9]\d{0,3}s?d?p?",
            says="layers written like 5x32 (1 to 9, 1 to 9999), 3x32s, 5x32dp or pool, joined by +",
        ),
    )
    batch_norm: bool = hyperparameter(
        True,
        Switch(
            help="Normalise the outputs of convolutions, and of hidden layers after them.",
            sweep_help="yes,no: normalise the outputs of convolutions.",
        ),
    )
    dropout: float = hyperparameter(
        0.0,
        Number("[0, 1)", help="0 to 1, share of units left out before the last layer."),
    )
    activation: str = hyperparameter("relu", KerasName(help="Of hidden layers and convolutions: any name Keras knows."))
    optimizer: str = hyperparameter(
        "adam", KerasName(help="Any name Keras knows.", any_case=True, shapes_network=False)
    )
    learning_rate: float | None = hyperparameter(
        None,
        Number(
            "(0, 1e6)",
            help="Peak of the schedule; default: Keras's own for the optimizer.",
            optional=True,
            shapes_network=False,
        ),
    )
    beta_1: float | None = hyperparameter(
        None,
        Number("[0, 1)", help="0 to 1, how long Adam remembers gradients.", optional=True, shapes_network=False),
    )
    beta_2: float | None = hyperparameter(
        None,
        Number(
            "[0, 1)",
            help="0 to 1, how long Adam remembers the squares of gradients.",
            optional=True,
            shapes_network=False,
        ),
    )
    weight_decay: float | None = hyperparameter(
        None,
        Number(
            "[0, 1]",
            help="Share of a weight removed at each step, times the learning rate.",
            optional=True,
            shapes_network=False,
        ),
    )
    schedule: str = hyperparameter(
        "constant",
        Choice(SCHEDULES, help="Of the learning rate; cosine falls to 0 after a warm-up.", shapes_network=False),
    )
    loss: str = hyperparameter("sparse_categorical_crossentropy", KerasName(help="Any name Keras knows."))
    label_smoothing: float = hyperparameter(
        0.0, Number("[0, 1)", help="0 to 1, for (sparse) categorical cross-entropy.")
    )
    ema: float = hyperparameter(
        0.0,
        Number(
            "[0, 1)",
            help="0 to 1, momentum of the weights' moving average, which is kept; 0: none.",
            shapes_network=False,
        ),
    )
    # "sigmoid" as in the tutorial: ten numbers that do not sum to 1. "logits_none": logits relative to those of a class
    # more, "not a digit".
    output: str = hyperparameter(
        "softmax",
        Choice(OUTPUTS, help="What the last layer's numbers are; sigmoid is the tutorial's."),
    )
    distortion: float = hyperparameter(
        0.0,
        Number(
            "[0, 10]",
            help="How far each epoch distorts its images (1: by some 10 %); 0: not at all.",
            shapes_network=False,
        ),
    )
    composed: int = hyperparameter(
        0,
        Whole(
            0, 10_000_000, help="Synthetic images made for each epoch; 0: the images as they are.", shapes_network=False
        ),
    )
    epochs: int = hyperparameter(5, Whole(1, 100_000, help="Passes over the training set.", shapes_network=False))
    batch_size: int = hyperparameter(32, Whole(1, 100_000, help="Images in a step.", shapes_network=False))
    # Where the training set is small, at most a sixth of it (see `train.train`), unless the number was asked for.
    validation: int = hyperparameter(
        5000,
        Whole(
            0,
            1_000_000,
            help="Training images to hold out and evaluate after each epoch; 0: train on all.",
            sweep_help="Training images to hold out and choose on: one number. Default: 10,000, or a sixth.",
            shapes_network=False,
            in_grid=False,
        ),
    )
    precision: str = hyperparameter(
        "float32",
        Choice(PRECISIONS, help="Of the arithmetic while training; models are float32.", shapes_network=False),
    )


# What each field is, in their order. Fields without such metadata are no options: programs alone may change them.
HYPERPARAMETERS: dict[str, Hyperparameter] = {
    field.name: field.metadata["hyperparameter"]
    for field in dataclasses.fields(Recipe)
    if "hyperparameter" in field.metadata
}


@dataclass(frozen=True)
class Conflict:
    """Values that do not go together, each in its range.

    Attributes:
        fields: that take part.
        arises: does a recipe have it?
        why: one line; the recipe's fields are filled in where it names them in braces.
    """

    fields: tuple[str, ...]
    arises: Callable[[Recipe], object]
    why: str


CONFLICTS = (
    Conflict(
        ("composed",),
        lambda recipe: isinstance(recipe, LineRecipe | FinderRecipe) and not recipe.composed,
        "the recipe {name!r} learns from composed pictures alone: composed must be at least 1",
    ),
    Conflict(
        ("validation",),
        # With fewer some digit may be missing among those that lines and pages to calibrate on are composed of.
        lambda recipe: isinstance(recipe, LineRecipe | FinderRecipe) and recipe.validation < 10,
        "the recipe {name!r} is calibrated on held-out digits: validation must be at least 10",
    ),
    Conflict(
        ("composed", "output"),
        lambda recipe: type(recipe) is Recipe and recipe.composed and recipe.output != "logits_none",
        "composed images include some that are no digit, which only networks with output logits_none can answer: leave "
        "composed out, or take the recipe reader",
    ),
    Conflict(
        ("distortion", "composed"),
        lambda recipe: recipe.distortion and recipe.composed,
        "distortion goes with the images as they are, not with composed ones: leave one of the two out",
    ),
    Conflict(
        ("label_smoothing", "loss"),
        lambda recipe: recipe.label_smoothing and "categorical_crossentropy" not in recipe.loss,
        "label_smoothing goes with (sparse_)categorical_crossentropy, not with {loss!r}",
    ),
)


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
    """The training of the line network: new synthetic lines in each epoch, CTC, stages from easy to hard.

    Of the fields of every recipe, `composed` is lines composed for an epoch, `batch_size` lines of 96 pixels a step (of
    narrow ones more, of wide ones fewer), `validation` MNIST digits held out for calibration, and `schedule` "cosine"
    what the stages say, "constant" the learning rate throughout.

    Attributes:
        height: of line images in pixels, a multiple of 8.
        channels: of the five steps of the network, from the pixels on.
        stages: one after the other.
        passes: how often an epoch uses each line, each time warped differently.
        views: (zoom, shear) of each view of a line that is read; texts' probabilities are averaged over them.
    """

    without = ("hidden", "convolutions", "batch_norm", "activation", "loss", "label_smoothing", "output", "distortion")

    height: int = 32
    channels: tuple[int, int, int, int, int] = (20, 32, 48, 96, 192)
    stages: tuple[Stage, ...] = ()
    passes: int = 2
    views: tuple[tuple[float, float], ...] = ((0.92, 0.0), (1.1, 0.0))


@dataclass(frozen=True)
class FinderRecipe(Recipe):
    """The training of the page finder: synthetic pages, some new in each epoch, maps of where rows run.

    Of the fields of every recipe, `composed` is pages an epoch shows, `batch_size` pages of 448 x 448 pixels a step (of
    small ones more, of large ones fewer), `validation` MNIST digits held out for calibration.

    Attributes:
        channels: of the six steps of the network, at 1/2 to 1/64 of the picture's size.
        head: channels of the maps' last layer, and the fewest on the way there.
        uses: for how many epochs a page is shown, in another light each time.
    """

    without = LineRecipe.without

    channels: tuple[int, int, int, int, int, int] = (16, 24, 40, 64, 80, 80)
    head: int = 32
    uses: int = 3


# The line network that ships has two members, which `inkdigits ensemble` joins. The first: 490,000 lines, each warped
# form of a line counted.
LINE = LineRecipe(
    "line",
    dropout=0.1,
    optimizer="adamw",
    learning_rate=2e-3,
    weight_decay=2e-2,
    schedule="cosine",
    loss="ctc",
    ema=0.998,
    output="logits",
    composed=5120,
    epochs=48,
    batch_size=64,
    precision="mixed_bfloat16",
    stages=(
        # CTC does not take off on hard lines from nothing: it starts on plain digits side by side.
        Stage({"clean": 1.0}, 4, (1.0, 1.0)),
        Stage({"cell": 0.6, "row": 0.1, "page": 0.3}, 44, (1.0, 1 / 200)),
    ),
)
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
            validation=0,
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
            validation=0,
            precision="mixed_bfloat16",
        ),
        # The digit network that ships.
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
            precision="mixed_bfloat16",
        ),
        LINE,
        # The second, whose writers vary more: 650,000 lines.
        dataclasses.replace(
            LINE,
            name="line-varied",
            channels=(24, 40, 56, 112, 224),
            epochs=64,
            stages=(
                Stage({"clean": 1.0}, 5, (1.0, 1.0)),
                Stage({"cell-varied": 0.6, "row-varied": 0.1, "page-varied": 0.3}, 59, (1.0, 1 / 200)),
            ),
        ),
        # Finds the rows of a page.
        FinderRecipe(
            "finder",
            optimizer="adamw",
            learning_rate=2.5e-3,
            weight_decay=1e-2,
            schedule="cosine",
            loss="binary_crossentropy",
            ema=0.998,
            output="logits",
            composed=1024,
            epochs=96,
            batch_size=8,
            precision="mixed_bfloat16",
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
        RecipeError: also for the recipes of the line network and the page finder.
    """
    recipe = resolve(name, **changes)
    if type(recipe) is not Recipe:
        whole = "lines" if isinstance(recipe, LineRecipe) else "pages"
        raise RecipeError(f"the recipe {name!r} trains a network for {whole}; choose one for single digits")
    return recipe


def from_dict(stored: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `dataclasses.asdict` made this of, lists in the place of tuples allowed.

    A field that another version of inkdigits has is no reason not to read its recipes.
    """
    kind = LineRecipe if "stages" in stored else FinderRecipe if "head" in stored else Recipe
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
        RecipeError: no such field, a value out of its range, or values that do not go together.
    """
    fixed = {field.name for field in dataclasses.fields(recipe)} - HYPERPARAMETERS.keys() - {"name"}
    for name, value in changes.items():
        if name in recipe.without:
            raise RecipeError(f"the recipe {recipe.name!r} has no setting {name!r}; leave it out")
        if name not in fixed:
            changes[name] = kind_of(name).check(name, value)
    changed = dataclasses.replace(recipe, **changes)
    for name, kind in HYPERPARAMETERS.items():
        if name not in recipe.without:
            kind.check(name, getattr(changed, name))
    for _, reason in conflicts(changed):
        raise RecipeError(reason)
    return changed


def kind_of(name: str) -> Hyperparameter:
    """Return what the field of that name is.

    Raises:
        RecipeError: there is no such field; the nearest names are given.
    """
    if name not in HYPERPARAMETERS:
        raise RecipeError(f"recipes have no setting {name!r}; {nearest(name, list(HYPERPARAMETERS))}")
    return HYPERPARAMETERS[name]


def conflicts(recipe: Recipe) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the fields of a recipe that do not go together, and why, in one line."""
    for conflict in CONFLICTS:
        if conflict.arises(recipe):
            yield conflict.fields, conflict.why.format(**vars(recipe))
