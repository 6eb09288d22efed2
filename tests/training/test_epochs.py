"""Sources of an epoch's examples: each depends on seed and number alone, whatever makes its pictures."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.errors import TrainingError
from inkdigits.reading.model import OnnxModel
from inkdigits.training import epochs
from inkdigits.training.recipes import resolve
from inkdigits.training.synthesis.digits import NONE
from inkdigits.training.synthesis.distortion import distort

Splits = tuple[Split, Split]
SourceOf = Callable[[Split], epochs.EpochSource]


def test_a_split_stays_as_it_is(toy: Splits) -> None:
    with epochs.epochs_of(toy[0], resolve("hidden"), 0) as source:
        assert source.epoch(1)[0] is toy[0].images
        assert source.epoch(2)[1] is toy[0].labels
        assert len(source) == len(toy[0])


def test_composed_epochs_roll_on_and_depend_on_their_number_alone(toy: Splits) -> None:
    with epochs.composed(toy[0], 90, seed=5) as source, epochs.composed(toy[0], 90, seed=5) as late:
        first, second = source.epoch(1), source.epoch(2)
        np.testing.assert_array_equal(first[0][30:], second[0][:60])
        assert (second[0][60:] != first[0][:30]).any()
        np.testing.assert_array_equal(late.epoch(2)[0], second[0])
        assert len(first[0]) == len(source) == 90
        assert first[1].max() == NONE


@pytest.mark.parametrize("number", [1, 5])
def test_distorted_epochs_depend_on_seed_and_number_alone(number: int, toy: Splits) -> None:
    with epochs.distorted(toy[0], 0.7, seed=6) as source, epochs.distorted(toy[0], 0.7, seed=6) as late:
        for each in range(1, number + 1):
            images, labels = source.epoch(each)
        np.testing.assert_array_equal(late.epoch(number)[0], images)
        np.testing.assert_array_equal(labels, toy[0].labels)
        assert (source.epoch(number + 1)[0] != images).any()


def test_a_distilled_epoch_shows_every_image_a_third_of_them_distorted_anew(tiny_model: Path, toy: Splits) -> None:
    with (
        epochs.distilled(toy[0], 0.7, 5, tiny_model) as source,
        epochs.distilled(toy[0], 0.7, 5, tiny_model) as late,
    ):
        first, second = source.epoch(1), source.epoch(2)
        n = len(toy[0]) // epochs.USES
        np.testing.assert_array_equal(first[0][n:], second[0][:-n])
        np.testing.assert_array_equal(late.epoch(2)[1], second[1])
        newest = toy[0].images[2 % epochs.USES :: epochs.USES]
        np.testing.assert_array_equal(second[0][-n:], distort(newest, 0.7, (5, 2 + epochs.USES)))
        assert second[1].shape == (len(toy[0]), 10)
        scores = OnnxModel(tiny_model).scores(second[0]).astype(float)
        exps = np.exp(scores - scores.max(axis=1, keepdims=True))
        np.testing.assert_allclose(second[1], exps / exps.sum(axis=1, keepdims=True), atol=1e-5)


def test_lines_depend_on_seed_and_number_alone(toy: Splits) -> None:
    recipe = resolve("line", composed=12, epochs=2, validation=50)
    with epochs.epochs_of(toy[0], recipe, 4) as source, epochs.epochs_of(toy[0], recipe, 4) as late:
        source.epoch(1)
        lines, texts = source.epoch(2)
        again = late.epoch(2)
    assert len(lines) == len(texts) == len(source) == 12
    np.testing.assert_array_equal(texts, again[1])
    assert all(np.array_equal(a, b) for a, b in zip(lines, again[0], strict=True))


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_a_process_that_is_killed_is_one_clear_error(toy: Splits) -> None:
    processes = epochs._processes(1, epochs._remember, toy[0])
    with (
        epochs.Rolling(1, lambda number: [(kill_this_process,)], processes) as source,
        pytest.raises(TrainingError, match="killed"),
    ):
        source.epoch(1)


def test_what_a_recipe_shows_is_counted_without_making_any(toy: Splits) -> None:
    assert epochs.examples_per_epoch(toy[0], resolve("reader", composed=100)) == 99
    assert epochs.examples_per_epoch(toy[0], resolve("champion")) == 600
