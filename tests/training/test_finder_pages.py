"""Which pages an epoch shows, and the batches they are learned in."""

import numpy as np

from inkdigits.data.splits import Split
from inkdigits.training import epochs
from inkdigits.training.finder_pages import SHAPES, as_array, batches, changed_page, jobs_of_part, plan_batches
from inkdigits.training.recipes import FinderRecipe, resolve


def finder(**changes: object) -> FinderRecipe:
    recipe = resolve("finder", **changes)
    assert isinstance(recipe, FinderRecipe)
    return recipe


def test_shares_of_shapes_sum_to_one_and_their_sides_fit_the_network() -> None:
    assert abs(sum(SHAPES.values()) - 1) < 1e-9
    assert all(side % 64 == 0 for shape in SHAPES for side in shape)


def test_an_epoch_asks_for_a_part_of_its_pages_with_seeds_of_their_own() -> None:
    recipe = finder(composed=100, epochs=3, uses=4)
    jobs = [job for part in (-2, -1, 0, 1, 2, 3) for job in jobs_of_part(recipe, 5, part)]
    assert sum(job[2] for job in jobs) == 6 * 25
    assert len({job[1] for job in jobs}) == len(jobs)
    assert jobs_of_part(recipe, 5, 4) == []


def test_pages_roll_on_and_depend_on_seed_and_number_alone(toy: tuple[Split, Split]) -> None:
    recipe = finder(composed=4, epochs=3, uses=2)
    with epochs.epochs_of(toy[0], recipe, 4) as source, epochs.epochs_of(toy[0], recipe, 4) as late:
        first, second, again = source.epoch(1), source.epoch(2), late.epoch(2)
    assert len(first[0]) == len(first[1]) == len(source) == 4
    np.testing.assert_array_equal(first[0][2], second[0][0])
    for ours, theirs in zip(second, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_batches_hold_pages_of_one_shape_each_page_in_some_batch() -> None:
    shapes = [(64, 64)] * 5 + [(64, 128)] * 7 + [(448, 448)]
    pages = as_array([np.full(shape, i, np.uint8) for i, shape in enumerate(shapes)])
    maps = as_array([np.full((shape[0] // 4, shape[1] // 4, 6), 255, np.uint8) for shape in shapes])
    recipe, rng = finder(batch_size=1), np.random.default_rng(0)
    plan = plan_batches(pages, recipe, rng)
    assert set(np.concatenate(plan).tolist()) == set(range(13))
    for (images, targets), chosen in zip(batches(pages, maps, plan, rng), plan, strict=True):
        assert len(images) == len(targets) == len(chosen)
        assert targets.shape[1:] == (images.shape[1] // 4, images.shape[2] // 4, 6)
        assert images.dtype == targets.dtype == np.uint8


def test_a_changed_page_moves_with_its_maps_and_nothing_is_asked_of_what_is_repeated() -> None:
    page, maps = np.full((64, 96), 200, np.uint8), np.zeros((16, 24, 6), np.uint8)
    page[24:32, 40:56] = 0
    maps[6:8, 10:14, 0], maps[..., -1] = 255, 255
    n_moved = 0
    for seed in range(30):
        image, targets = changed_page(np.random.default_rng(seed), page, maps)
        dark = np.abs(image.astype(int) - int(np.median(image))) > 20
        np.testing.assert_array_equal(dark[::4, ::4], targets[..., 0] == 255)
        asked = targets[..., -1] == 255
        n_moved += not asked.all()
        assert asked.sum() >= 10 * 18
        assert asked.any(axis=0).sum() * asked.any(axis=1).sum() == asked.sum()
    assert n_moved > 20
    assert maps[..., -1].all()
