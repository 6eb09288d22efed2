"""Which lines an epoch is composed of, and the batches they are learned in."""

from collections.abc import Iterator

import numpy as np
import pytest

from inkdigits.training.line_rows import (
    LONGEST,
    _fits,
    as_array,
    batches,
    jobs_of_epoch,
    padded,
    plan_batches,
    prefetched,
    rounds_of,
)
from inkdigits.training.recipes import LineRecipe, resolve

LINE = resolve("line")
assert isinstance(LINE, LineRecipe)


def line(**changes: object) -> LineRecipe:
    recipe = resolve("line", **changes)
    assert isinstance(recipe, LineRecipe)
    return recipe


def test_the_published_stages_begin_on_clean_lines_at_the_peak_and_fall_to_a_200th() -> None:
    rounds, peak = rounds_of(line()), LINE.learning_rate
    assert peak is not None
    n_clean = LINE.stages[0].epochs
    assert [set(each.shares) == {"clean"} for each in rounds] == [i < n_clean for i in range(LINE.epochs)]
    assert {each.learning_rates for each in rounds[:n_clean]} == {(peak, peak)}
    assert rounds[-1].learning_rates[1] == pytest.approx(peak / 200)
    assert all(first >= last for first, last in (each.learning_rates for each in rounds))


@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 102])
def test_stages_stretch_and_shorten_and_the_easy_one_comes_first(epochs: int) -> None:
    rounds = rounds_of(line(epochs=epochs))
    assert len(rounds) == epochs
    assert "clean" in rounds[0].shares
    n_clean = sum("clean" in each.shares for each in rounds)
    assert n_clean == max(1, round(epochs * LINE.stages[0].epochs / LINE.epochs))


def test_a_constant_schedule_keeps_the_learning_rate() -> None:
    rounds = rounds_of(line(schedule="constant", learning_rate=2e-3, epochs=6))
    assert {each.learning_rates for each in rounds} == {(2e-3, 2e-3)}


def test_an_epoch_asks_for_all_its_lines_with_seeds_of_their_own() -> None:
    jobs = jobs_of_epoch(line(), 0, 10)
    assert abs(sum(n for _, _, _, n, _ in jobs) - LINE.composed) <= 1
    assert len({seed for _, seed, _, _, _ in jobs}) == len(jobs)
    assert {style for _, _, style, _, _ in jobs} == {"cell", "row", "page"}
    assert jobs_of_epoch(line(), 0, LINE.epochs + 1) == []


def test_batches_hold_each_line_as_often_as_the_recipe_says_and_are_all_full() -> None:
    recipe = line(passes=2, batch_size=4)
    images = as_array([np.full((32, 16 * (1 + i % 20)), 255, np.uint8) for i in range(30)])
    texts = padded([str(100 + i) for i in range(30)])
    rng = np.random.default_rng(0)
    plan = plan_batches(images, recipe, rng)
    assert len({(width, len(chosen)) for width, chosen in plan}) == len({width for width, _ in plan})
    seen: list[int] = []
    for (width, chosen), (batch, classes) in zip(plan, batches(images, texts, plan, rng), strict=True):
        assert batch.dtype == np.uint8
        assert batch.shape == (len(chosen), 32, width)
        assert len(batch) == 1 or batch.size <= 32 * 4 * 96
        np.testing.assert_array_equal(classes, texts[chosen])
        seen += chosen.tolist()
    counts = np.bincount(seen, minlength=30)
    assert counts.min() == 2
    assert len(seen) - 60 < sum(max(len(chosen) for w, chosen in plan if w == width) for width in {w for w, _ in plan})


def test_batches_are_made_ahead_in_their_order_and_errors_come_through() -> None:
    assert list(prefetched(iter(range(1, 50)))) == list(range(1, 50))
    assert list(prefetched(iter(()))) == []

    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(prefetched(failing()))


def test_only_texts_that_ctc_can_reach_are_composed() -> None:
    assert _fits("12", 16)
    assert _fits("1212", 16)
    assert not _fits("11 11", 16), "a blank is needed between equal characters"
    assert not _fits("1" * 57, 9000), "wide lines are squeezed"
    assert not _fits("12" * 33, 9000), "longer than what texts are padded to"


def test_texts_are_padded() -> None:
    assert padded(["1.5", "-"])[:, :4].tolist() == [[1, 10, 5, -1], [11, -1, -1, -1]]
    assert padded(["1.5"]).shape == (1, LONGEST)


def test_lines_of_one_width_stay_separate() -> None:
    array = as_array([np.zeros((32, 16), np.uint8), np.ones((32, 16), np.uint8)])
    assert array.shape == (2,)
    assert array[1].shape == (32, 16)
