import dataclasses
import json

import pytest

from inkdigits.errors import RecipeError
from inkdigits.training.hyperparameters import nearest
from inkdigits.training.recipes import RECIPES, change, from_dict, resolve, resolve_digit


def test_the_tutorials_recipes_are_as_the_tutorial_has_them() -> None:
    linear, hidden = resolve("linear"), resolve("hidden")
    assert (linear.hidden, hidden.hidden) == ((), (100,))
    for recipe in (linear, hidden):
        assert (recipe.output, recipe.activation, recipe.optimizer) == ("sigmoid", "relu", "adam")
        assert (recipe.loss, recipe.epochs, recipe.batch_size) == ("sparse_categorical_crossentropy", 5, 32)


def test_every_other_recipe_has_no_sigmoids() -> None:
    assert {r.name for r in RECIPES.values() if r.output == "sigmoid"} == {"linear", "hidden"}


def test_every_setting_can_be_changed() -> None:
    assert resolve("hidden", hidden=[300, 100], activation="tanh").hidden == (300, 100)
    assert resolve("hidden", hidden=30).hidden == (30,)
    assert resolve("cnn", epochs=1) == dataclasses.replace(RECIPES["cnn"], epochs=1)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("liner", {}, "no recipe 'liner'; nearest: linear"),
        ("zzz", {}, "there are: champion, cnn, fast, finder, hidden, line, line-varied, linear, reader"),
        ("hidden", {"optimiser": "adam"}, "no setting 'optimiser'; nearest: optimizer"),
        ("hidden", {"output": "softmaxx"}, "no output 'softmaxx'; nearest: softmax"),
        ("hidden", {"schedule": "cosin"}, "nearest: cosine"),
        ("hidden", {"precision": "bfloat16"}, "nearest: mixed_bfloat16"),
        ("hidden", {"epochs": 0}, "epochs must be a whole number from 1"),
        ("hidden", {"batch_size": 1.5}, "batch_size must be a whole number"),
        ("hidden", {"hidden": (100, 0)}, "hidden must be whole numbers of units"),
        ("hidden", {"learning_rate": 0.0}, "learning_rate must be over 0"),
        ("hidden", {"learning_rate": float("nan")}, "learning_rate must be over 0"),
        ("hidden", {"learning_rate": 1e30}, "under 1e+06"),
        ("hidden", {"composed": 10}, "include some that are no digit"),
        ("hidden", {"ema": 1.0}, "ema must be at least 0 and under 1"),
        ("hidden", {"label_smoothing": 0.1, "loss": "hinge"}, "label_smoothing goes with"),
        ("cnn", {"convolutions": ["big"]}, "written like 5x32"),
        ("cnn", {"convolutions": ["5x32ps"]}, "written like 5x32"),
        ("cnn", {"distortion": -0.1}, "distortion must be at least 0"),
        ("reader", {"distortion": 0.5}, "leave one of the two out"),
        ("cnn", {"weight_decay": 2}, "weight_decay must be at least 0 and at most 1"),
        ("fast", {"beta_1": 1.0}, "beta_1 must be at least 0 and under 1"),
        ("line", {"hidden": (100,)}, "'line' has no setting 'hidden'"),
        ("line", {"loss": "mse"}, "'line' has no setting 'loss'"),
        ("line", {"validation": 0}, "validation must be at least 10"),
        ("line", {"composed": 0}, "composed must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_words(name: str, changes: dict, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve(name, **changes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_changed_recipe_is_checked_again() -> None:
    with pytest.raises(RecipeError, match="epochs"):
        change(RECIPES["linear"], epochs=-1)


def test_the_line_recipe_takes_the_settings_that_make_sense_and_survives_json() -> None:
    recipe = resolve(
        "line", learning_rate=1e-3, epochs=5, batch_size=32, ema=0.9, schedule="constant", channels=(4,) * 5
    )
    stored = json.loads(json.dumps(dataclasses.asdict(recipe)))
    assert from_dict(stored) == recipe
    assert from_dict(stored | {"a_setting_of_later": 1}) == recipe
    assert sum(stage.epochs for stage in resolve("line").stages) == resolve("line").epochs  # type: ignore[attr-defined]


def test_where_single_digits_are_trained_the_line_recipe_is_refused() -> None:
    assert resolve_digit("cnn", epochs=1) == resolve("cnn", epochs=1)
    with pytest.raises(RecipeError, match="single digits"):
        resolve_digit("line")


def test_nearest_knows_no_case() -> None:
    assert nearest("ADAMM", ["Adam", "SGD"]) == "nearest: Adam"
