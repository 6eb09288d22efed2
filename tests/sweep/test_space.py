import pytest

from inkdigits.errors import RecipeError
from inkdigits.sweep.space import (
    Range,
    exactly,
    fit_for,
    grid,
    hyperparameters_of,
    in_words,
    plain,
    read_space,
    train_flags,
)
from inkdigits.training.recipes import HYPERPARAMETERS, RECIPES

HIDDEN, CNN = RECIPES["hidden"], RECIPES["cnn"]


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("activation", "relu,tanh,relu", ("relu", "tanh")),
        ("optimizer", "adam, Lion", ("adam", "lion")),
        ("loss", "mse,mean_squared_error", ("mean_squared_error",)),
        ("hidden", "100,300+100,300x100,none", ("100", "300+100", "none")),
        ("convolutions", "5x16s+pool,3x8,none", ("5x16s+pool", "3x8", "none")),
        ("batch_norm", "yes,off", (True, False)),
        ("learning_rate", "default,1e-3,0.0010", ("default", 0.001)),
        ("learning_rate", "1e-4..1e-2", Range(1e-4, 1e-2)),
        ("epochs", "2..10", Range(2, 10)),
        ("epochs", "5,10", (5, 10)),
    ],
)
def test_words_are_read(name: str, text: str, values: object) -> None:
    assert read_space(HIDDEN, {name: text}) == {name: values}


def test_every_field_of_a_recipe_is_a_hyperparameter() -> None:
    for name in HYPERPARAMETERS:
        for recipe in RECIPES.values():
            value = getattr(recipe, name)
            assert fit_for(name, plain(value)) == value
            space = read_space(recipe, {name: exactly(plain(value))})
            assert space[name] == (plain(value),)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"activation": "relu,tahn"}, "nearest: tanh"),
        ({"optimizer": "adamm"}, "nearest: Adam"),
        ({"los": "mse"}, "nearest: loss"),
        ({"hidden": "100,ten"}, "'100\\+ten'|'ten' is not whole numbers of units"),
        ({"hidden": "0"}, "from 1 to 10000"),
        ({"convolutions": "5y16"}, "written like 5x32"),
        ({"batch_norm": "maybe"}, "not yes or no"),
        ({"epochs": "5,"}, "missing between two commas"),
        ({"epochs": "0..5"}, "from 1 to"),
        ({"epochs": "2.5"}, "not a whole number"),
        ({"learning_rate": "1e-2..1e-4"}, "the smaller first"),
        ({"learning_rate": "nan"}, "not a number"),
        ({"activation": "relu..tanh"}, "a range is two numbers"),
        ({"dropout": "0..1"}, "under 1"),
        ({"validation": "100,200"}, "the same held-out images"),
    ],
)
def test_what_nobody_can_train_is_refused(words: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_space(HIDDEN, words)


def test_combinations_that_do_not_go_together_are_left_out_and_said() -> None:
    space = read_space(HIDDEN, {"loss": "sparse_categorical_crossentropy,mse", "label_smoothing": "0,0.1"})
    found, left_out = grid(HIDDEN, space, 10)
    assert [(each.recipe.loss, each.recipe.label_smoothing) for each in found] == [
        ("sparse_categorical_crossentropy", 0.0),
        ("sparse_categorical_crossentropy", 0.1),
        ("mean_squared_error", 0.0),
    ]
    assert list(left_out.values()) == [1]
    assert "label_smoothing goes with" in next(iter(left_out))


def test_a_value_that_goes_with_nothing_is_refused() -> None:
    space = read_space(HIDDEN, {"loss": "mse", "label_smoothing": "0,0.1"})
    with pytest.raises(RecipeError, match=r"--label-smoothing 0.1 goes with nothing else"):
        grid(HIDDEN, space, 10)


def test_nets_that_cannot_be_built_and_losses_that_cannot_judge_are_left_out() -> None:
    pools = "+".join(["pool"] * 6)
    with pytest.raises(RecipeError, match="cannot be built"):
        grid(CNN, read_space(CNN, {"convolutions": f"3x4,{pools}"}), 10)
    with pytest.raises(RecipeError, match="the loss 'ctc' cannot evaluate"):
        grid(HIDDEN, read_space(HIDDEN, {"loss": "sparse_categorical_crossentropy,ctc"}), 10)


def test_equal_recipes_are_one_combination() -> None:
    space = read_space(HIDDEN, {"learning_rate": "default,0.001", "optimizer": "adam,sgd"})
    found, _ = grid(HIDDEN, space, 10)
    assert [(each.recipe.optimizer, each.recipe.learning_rate) for each in found] == [
        ("adam", 0.001),
        ("sgd", 0.01),
        ("sgd", 0.001),
    ]


def test_a_grid_takes_no_range() -> None:
    with pytest.raises(RecipeError, match="need --search"):
        grid(HIDDEN, read_space(HIDDEN, {"learning_rate": "1e-4..1e-2"}), 10)


def test_ranges_say_how_they_are_searched() -> None:
    assert Range(1e-4, 1e-2).logarithmic
    assert not Range(0.0, 0.5).logarithmic
    assert Range(2, 10).whole
    assert not Range(1e-4, 1e-2).whole


def test_settings_in_words_and_as_flags() -> None:
    settings = {
        "hidden": "300+100",
        "batch_norm": False,
        "learning_rate": 0.001,
        "beta_1": "default",
        "activation": "tanh",
        "epochs": 5,
    }
    assert hyperparameters_of({"epochs": (5,), "dropout": (0.0, 0.1), "learning_rate": Range(1e-4, 1e-2)}) == [
        "dropout",
        "learning_rate",
    ]
    assert in_words(settings, ["activation", "batch_norm"]) == "activation tanh  batch-norm no"
    assert train_flags(settings) == [
        *("--hidden", "300+100", "--no-batch-norm"),
        *("--learning-rate", "0.001", "--beta-1", "default", "--activation", "tanh", "--epochs", "5"),
    ]
