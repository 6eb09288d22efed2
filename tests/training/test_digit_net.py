import json
from dataclasses import asdict

import keras
import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.errors import RecipeError
from inkdigits.reading.calibration import probabilities_of
from inkdigits.reading.reader import Reader
from inkdigits.training import digit_net, networks
from inkdigits.training.recipes import Recipe, resolve

Splits = tuple[Split, Split]
SHIPPED_ERRORS = 33
SMALL = ("5x4", "pool", "3x6s", "pool")


def test_relative_scores_are_measured_from_no_digit(toy: Splits) -> None:
    model = networks.build(resolve("reader", convolutions=SMALL, precision="float32"), seed=0)
    assert model.output_shape == (None, 11)
    images = toy[1].images[:20]
    eleven = np.asarray(model(images))
    ten = np.asarray(digit_net.relative(model)(images))
    np.testing.assert_allclose(ten, eleven[:, :10] - eleven[:, 10:], atol=1e-6)
    np.testing.assert_allclose(
        probabilities_of(ten, "logits_none", 1.0), np.asarray(keras.ops.softmax(eleven))[:, :10], atol=1e-6
    )


@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_calibration_finds_the_temperature(sharpness: float, toy: Splits) -> None:
    # A "net" that knows how sure it may be: scores drawn so that softmax(scores) is right as often as it says.
    rng = np.random.default_rng(0)
    n = len(toy[1])
    honest = 2 * np.eye(10)[toy[1].labels] + rng.normal(0, np.sqrt(2), (n, 10))

    class Net:
        def predict(self, images: np.ndarray, batch_size: int, verbose: int) -> np.ndarray:
            return honest * sharpness

    found = digit_net.calibrate(Net(), "logits_none", toy[1], toy[0])  # type: ignore[arg-type]
    assert found["temperature"] == pytest.approx(sharpness, rel=0.35)
    confidence = probabilities_of(honest * sharpness, "logits_none", found["temperature"]).max(axis=1)
    assert (confidence >= found["threshold"]).mean() == pytest.approx(0.99, abs=0.006)


def test_without_held_out_digits_there_is_no_threshold_and_the_card_says_why(toy: Splits) -> None:
    model = networks.build(resolve("linear", output="logits"), 0)
    found = digit_net.calibrate(model, "logits", None, toy[0])
    assert found["temperature"] == 1
    assert "threshold" not in found
    assert "--validation" in found["no_threshold"]


def test_any_recipe_gets_a_threshold_from_held_out_digits(toy: Splits) -> None:
    model = networks.build(resolve("linear", output="logits"), 0)
    found = digit_net.calibrate(model, "logits", toy[1], toy[0])
    confidence = probabilities_of(model.predict(toy[1].images, verbose=0), "logits", 1.0).max(axis=1)
    assert (confidence >= found["threshold"]).mean() == pytest.approx(0.99, abs=0.006)
    assert found["temperature"] == 1


def test_convolutions_are_written_as_words() -> None:
    model = networks.build(resolve("reader", convolutions=("5x8", "pool", "3x16s")), seed=0)
    shapes = [layer.output.shape[1:] for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert shapes == [(24, 24, 8), (12, 12, 16)]
    for wrong in ("5y8", "3x", "pol", ""):
        with pytest.raises(RecipeError, match="convolution"):
            resolve("reader", convolutions=(wrong,))


def test_a_small_reader_learns_to_read_and_to_refuse(toy: Splits, tmp_path_factory: pytest.TempPathFactory) -> None:
    from inkdigits.training.train import train

    run = train(
        "reader",
        data=toy,
        runs_dir=tmp_path_factory.mktemp("runs"),
        convolutions=SMALL,
        composed=600,
        epochs=3,
        validation=100,
        batch_size=64,
        progress=False,
    )
    reader = Reader(run.path)
    assert reader.card["output"] == "logits_none"
    assert 0.25 <= reader.card["temperature"] <= 4
    assert 0 < reader.card["threshold"] < 1
    answers = reader.classify(toy[1].images)
    assert answers.probabilities.shape == (200, 10)
    assert (answers.probabilities.sum(axis=1) < 1).all()
    assert run.info["figures"]["n_test"] == 200


def test_the_shipped_net_on_mnist(mnist: Splits) -> None:
    """Its errors on the test set, to one: another machine's arithmetic may tip a digit on the edge."""
    test = mnist[1]
    reader = Reader()
    answers = reader.classify(test.images)
    errors = int((answers.labels != test.labels).sum())
    assert abs(errors - SHIPPED_ERRORS) <= 1
    assert errors == reader.card["figures"]["test_errors"]
    assert (answers.labels != test.labels)[answers.accepted].mean() < 0.003
    inverted = reader.classify(np.ascontiguousarray(255 - test.images[:500]))
    assert inverted.accepted.mean() < 0.01
    assert not reader.classify(np.zeros((1, 28, 28), np.uint8)).accepted.any()


def test_the_shipped_net_is_of_the_recipe() -> None:
    # Settings that came later have in the card's recipe the value that they have where nothing is said.
    ours, defaults = (json.loads(json.dumps(asdict(recipe))) for recipe in (resolve("reader"), Recipe("reader")))
    assert ours == defaults | Reader().card["recipe"]
