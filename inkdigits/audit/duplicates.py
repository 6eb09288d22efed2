"""Images that occur twice: to the byte, or except for a shift, brightness and a little noise. NumPy alone.

Near means: scaled to unit length and laid over each other at the best shift by whole pixels, two images have a
cosine similarity of at least 0.995. Comparing all pairs at all shifts would take hours for 70,000 images, so pairs that
cannot be that similar are left out first, by a bound: a shift changes only the phases of an image's Fourier transform,
and neither dropping the phases nor projecting what is left can move two images apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from inkdigits.arrays import DigitImages, Floats, Indices

# The most similar of MNIST's 70,000 images, two ones, reach 0.991: what lies above is a copy, not a coincidence.
NEAR = 0.995
SIDE = 32  # of the grid on which spectra are taken: 28 and room to shift
COMPONENTS = 48  # so many that of MNIST's 2.4e9 pairs fewer than 1e5 are left to compare fully
ROWS, COLUMNS = 512, 4096  # pairs are compared in tiles that fit a processor's cache
# Of an image's candidates in a tile only the nearest are compared: a set made of a few printed glyphs has N * N.
MAX_CANDIDATES = 64
MAX_PAIRS = 8
CHUNK = 2000


@dataclass(frozen=True)
class Duplicate:
    """Two images that are the same.

    Attributes:
        first: index of the earlier one.
        second: index of the later one.
        similarity: 0.995 to 1, cosine of the angle between them at the best shift.
        exact: are they equal to the byte?
    """

    first: int
    second: int
    similarity: float
    exact: bool


def find_duplicates(images: DigitImages) -> list[Duplicate]:
    """Return images that occur more than once: exact copies first, then near ones, the most similar first.

    Of k equal images each later one is paired with the first, and only the first is compared with others. The time
    grows with the square of the number of images: 70,000 take some 10 s of processor time.

    Args:
        images: uint8 (N, H, W), H and W at most 32.
    """
    first_of = _first_copies(images)
    later = np.flatnonzero(first_of != np.arange(len(images)))
    exact = [Duplicate(int(first_of[i]), int(i), 1.0, True) for i in later]
    rest = np.flatnonzero(first_of == np.arange(len(images)))
    # A blank image has no direction: it is similar only to other blank ones, which are exact copies.
    rest = rest[images[rest].any(axis=(1, 2))]
    first, second, similarity = _near_pairs(images[rest])
    order = np.argsort(-similarity, kind="stable")
    return exact + [Duplicate(int(rest[first[k]]), int(rest[second[k]]), float(similarity[k]), False) for k in order]


def _first_copies(images: DigitImages) -> Indices:
    """Return int64 (N,): for each image the index of the first that is equal to the byte, its own where it is new."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(image.tobytes(), i) for i, image in enumerate(images)], np.int64)


def _near_pairs(images: DigitImages) -> tuple[Indices, Indices, Floats]:
    """Return first and second index (M,) and similarity (M,) of all near pairs."""
    none = np.empty(0, np.int64)
    if len(images) < 2:
        return none, none, np.empty(0)
    spectra = _spectra(images)
    # Unit vectors with a cosine of c lie sqrt(2 - 2 c) apart.
    reach = 2 - 2 * NEAR
    pairs = [_closer(spectra, *tile, reach) for tile in _candidates(_projected(spectra), reach)]
    first, second = (np.concatenate(indices) for indices in zip(*pairs, strict=True)) if pairs else (none, none)
    similarity = np.concatenate([np.empty(0), *(_similarity(images, a, b) for a, b in _chunks(first, second))])
    near = similarity >= NEAR
    return first[near], second[near], np.minimum(similarity[near], 1.0)


def _spectra(images: DigitImages) -> Floats:
    """Return float32 (N, 544): the magnitudes of each image's Fourier transform, of unit length together."""
    # The half of the plane that `rfft2` leaves out mirrors the columns between the first and the last.
    weights = np.full(SIDE // 2 + 1, np.sqrt(2), np.float32)
    weights[[0, -1]] = 1
    parts = []
    for start in range(0, len(images), CHUNK):
        magnitudes = np.abs(np.fft.rfft2(_unit(images[start : start + CHUNK]), s=(SIDE, SIDE))) / SIDE
        parts.append((magnitudes * weights).reshape(len(magnitudes), -1).astype(np.float32))
    return np.concatenate(parts)


def _unit(images: DigitImages) -> Floats:
    floats = images.astype(np.float32)
    unit: Floats = floats / np.linalg.norm(floats, axis=(1, 2), keepdims=True)
    return unit


def _projected(spectra: Floats) -> Floats:
    """Return float32 (N, 48): the spectra along the directions in which they differ most."""
    mean = spectra.mean(axis=0)
    some = spectra[:: max(1, len(spectra) // 7000)] - mean
    _, directions = np.linalg.eigh(some.T @ some)  # the greatest last
    projected: Floats = (spectra - mean) @ directions[:, -COMPONENTS:]
    return projected


def _candidates(points: Floats, reach: float) -> Iterator[tuple[Indices, Indices]]:
    """Yield first and second index of the pairs of points whose squared distance is at most `reach`, tile by tile."""
    reach += 1e-4  # rounding must lose no pair; what it adds is removed later
    # In the order of one coordinate, what lies further ahead in it than `reach` allows need not be looked at.
    order = np.argsort(points[:, -1], kind="stable")
    points, along = points[order], points[order, -1]
    squares, ones = (points**2).sum(axis=1), np.ones(len(points), np.float32)
    # |a - b|² = a² - 2 a b + b² as one product of matrices.
    left, right = np.column_stack([-2 * points, squares, ones]), np.column_stack([points, ones, squares])
    for top in range(0, len(points), ROWS):
        furthest = along[top : top + ROWS][-1] + np.sqrt(reach)
        for start in range(top, int(np.searchsorted(along, furthest, side="right")), COLUMNS):
            distances = left[top : top + ROWS] @ right[start : start + COLUMNS].T
            rows: Indices
            columns: Indices
            rows, columns = np.nonzero(distances <= reach)
            later = columns + start > rows + top
            rows, columns = rows[later], columns[later]
            rows, columns = _nearest(rows, columns, distances[rows, columns], MAX_CANDIDATES)
            if len(rows):
                pairs = np.sort([order[rows + top], order[columns + start]], axis=0)
                yield pairs[0], pairs[1]


def _nearest(first: Indices, second: Indices, distances: Floats, most: int) -> tuple[Indices, Indices]:
    """Return those pairs that are among the `most` nearest of their first."""
    order = np.lexsort((distances, first))
    first, second = first[order], second[order]
    kept = np.arange(len(first)) - np.searchsorted(first, first) < most
    return first[kept], second[kept]


def _closer(spectra: Floats, first: Indices, second: Indices, reach: float) -> tuple[Indices, Indices]:
    """Return those pairs whose whole spectra are within reach, of each first the nearest few."""
    distances = ((spectra[first] - spectra[second]) ** 2).sum(axis=1)
    within = distances <= reach + 1e-4
    return _nearest(first[within], second[within], distances[within], MAX_PAIRS)


def _chunks(first: Indices, second: Indices) -> Iterator[tuple[Indices, Indices]]:
    for start in range(0, len(first), CHUNK):
        yield first[start : start + CHUNK], second[start : start + CHUNK]


def _similarity(images: DigitImages, first: Indices, second: Indices) -> Floats:
    """Return float (M,): the cosine of the angle between two images at the shift where it is greatest."""
    size = (2 * SIDE, 2 * SIDE)  # so large that nothing is shifted out on one side and in on the other
    transforms = (np.fft.rfft2(_unit(images[which]), s=size) for which in (first, second))
    correlations = np.fft.irfft2(next(transforms) * next(transforms).conj(), s=size)
    greatest: Floats = correlations.max(axis=(1, 2))
    return greatest
