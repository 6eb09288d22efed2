"""Paper is told from ink, and taken away."""

import cv2
import numpy as np

# A picture of one digit is not looked at in more detail than this (longest side).
WORK_SIDE_PX = 480
INK = 96  # ink stronger than this counts where a digit's place is asked for
# Paper and polarity are smooth: they are found on a copy of about this size (shortest side).
PAPER_SIDE_PX = 72
# Ink paler than this (of 255) is not told from paper at all.
FAINTEST = 7.0


def remove_paper(image: np.ndarray) -> np.ndarray:
    """Return the ink of a picture alone: paper, shadows and uneven light taken away, contrast stretched.

    Args:
        image: uint8 (H, W), dark ink on light paper or light on dark; which, is found.

    Returns:
        uint8 (H, W), 0 = paper, 255 = ink. Without any ink it is 0 throughout.

    Raises:
        ValueError: another dtype or number of dimensions, or no pixels.
    """
    check(image)
    dark_ink = 255 - image if has_light_ink(image) else image
    density = _density(dark_ink)
    floor, full = _ink_range(density)
    if full <= floor:
        return np.zeros(image.shape, np.uint8)
    return np.asarray(cv2.convertScaleAbs(np.maximum(density - floor, 0), alpha=255 / (full - floor)))


def has_light_ink(image: np.ndarray) -> bool:
    """Tell whether the ink is lighter than the paper: whether the rarer grey levels are the lighter ones.

    Args:
        image: uint8 (H, W).
    """
    small = _reduced(image, PAPER_SIDE_PX).astype(np.float32)
    # Slow changes of light are no ink.
    detail = small - cv2.GaussianBlur(small, (0, 0), max(2.0, min(small.shape) / 2), borderType=cv2.BORDER_REPLICATE)
    detail -= detail.mean()
    spread = float(np.sqrt((detail * detail).mean()))
    if spread < 1e-3:
        return False
    detail /= spread
    # In a tight crop of bold strokes ink is not rarer than paper; but corners are paper rather than ink.
    side = max(1, round(min(small.shape) / 8))
    ends = (slice(None, side), slice(-side, None))
    corners = np.mean([np.clip(detail[rows, columns].mean(), -1, 1) for rows in ends for columns in ends])
    return bool((detail * detail * detail).mean() > 0.6 * corners)


def check(image: np.ndarray) -> None:
    """Raise ValueError unless the image is uint8 (H, W) with pixels."""
    if image.dtype != np.uint8 or image.ndim != 2 or image.size == 0:
        raise ValueError(f"image must be uint8 (H, W), got {image.dtype} {image.shape}")


# Paper


def resized(image: np.ndarray, scale: float) -> np.ndarray:
    """Return the image at that scale, at least one pixel wide and high."""
    height, width = image.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))


def _reduced(image: np.ndarray, shortest: int) -> np.ndarray:
    scale = shortest / min(image.shape)
    return resized(image, scale) if scale < 1 else image


def _density(image: np.ndarray) -> np.ndarray:
    """Return float32 (H, W), how much of the paper's light ink takes, 0 to 255; below 0 is brighter paper."""
    paper = np.maximum(_paper(image), 40.0)
    density: np.ndarray = (paper - image) * (255.0 / paper)
    return density.astype(np.float32)


def _paper(image: np.ndarray) -> np.ndarray | np.float32:
    """Return the grey level of the bare paper under dark ink: one number, or float32 (H, W) where light is uneven."""
    small = _reduced(image, PAPER_SIDE_PX)
    bright, brighter = _percentiles(small, 60, 97)
    if brighter - bright < 6:
        return np.float32(brighter)
    # Closing with a window wider than any stroke leaves paper and its shadows (Serra 1982); strokes are told by the
    # picture's shorter side, for a picture shows one digit or one row.
    reach = max(5, int(min(small.shape) * 0.45)) | 1
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    closed = cv2.morphologyEx(cv2.medianBlur(small, 3) if min(small.shape) > 24 else small, cv2.MORPH_CLOSE, window)
    smooth = cv2.GaussianBlur(closed, (0, 0), reach / 4, borderType=cv2.BORDER_REPLICATE)
    height, width = image.shape
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)).astype(np.float32)


def _percentiles(values: np.ndarray, *percents: float) -> list[float]:
    """Return what `np.percentile` does, in a tenth of its time for a small picture."""
    ordered = np.sort(values, axis=None)
    found = []
    for percent in percents:
        place = percent / 100 * (len(ordered) - 1)
        below = int(place)
        low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
        found.append(low + (high - low) * (place - below))
    return found


def _ink_range(density: np.ndarray) -> tuple[float, float]:
    """Return the density up to which all is paper, and the density of full ink; equal where there is no ink."""
    step = max(1, int(np.sqrt(density.size / 40_000)))
    values = density[::step, ::step].ravel()
    # Ink may fill more than half of a tight crop, so the paper's grain is read off the palest quarter.
    low, quarter = _percentiles(values, 4, 25)
    grain = quarter - low
    floor = quarter + 3.3 * grain
    above = values[values > floor + 2]
    if len(above) < 4:
        above = density[density > floor + 2]
    if not len(above):
        return floor, floor
    halfway = _otsu(above, floor)
    (full,) = _percentiles(above[above >= halfway], 75)
    return (floor, full) if full - floor > max(FAINTEST, 2 * grain) else (floor, floor)


def _otsu(values: np.ndarray, low: float) -> float:
    """Return the level that splits values into two classes furthest apart (Otsu 1979)."""
    high = float(values.max())
    coded = ((values - low) * (255 / max(high - low, 1e-3))).astype(np.uint8)
    level, _ = cv2.threshold(coded.reshape(1, -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return low + level * (high - low) / 255
