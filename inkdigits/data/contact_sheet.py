"""A picture of a data set, with a row for each class."""

from collections.abc import Sequence

import cv2
import numpy as np

from inkdigits.arrays import ColorImage, DigitImages, Labels

FONT = cv2.FONT_HERSHEY_SIMPLEX
GREY = (110, 110, 110)


def draw_contact_sheet(
    images: DigitImages, labels: Labels, class_names: Sequence[str], per_class: int = 20
) -> ColorImage:
    """Return a sheet with a row a class: its name, its first pictures as ink on paper, and how many there are.

    Args:
        images: uint8 (N, 28, 28), 0 = paper, 255 = ink.
        labels: int (N,), indices into `class_names`.
        class_names: what each class is called; a name this font lacks is replaced by its number.
        per_class: how many pictures a row shows, at most.

    Returns:
        uint8 (H, W, 3), BGR.
    """
    cell, gap, margin, size = 56, 6, 24, 0.6
    names = [name if name.isascii() else str(i) for i, name in enumerate(class_names)]
    left = margin + max(cv2.getTextSize(name, FONT, size, 1)[0][0] for name in names) + 20
    right = left + per_class * (cell + gap) + 14
    canvas = np.full((2 * margin + len(names) * (cell + gap) - gap, right + 66 + margin, 3), 255, np.uint8)
    for label, name in enumerate(names):
        members = np.flatnonzero(labels == label)
        top = margin + label * (cell + gap)
        if label % 2 == 0:
            canvas[top - gap // 2 : top + cell + gap // 2] = (246, 244, 242)
        _write(canvas, name, margin, top + cell // 2, (30, 30, 30), size)
        _write(canvas, f"{len(members):,}", right, top + cell // 2, GREY, 0.5)
        for column, image in enumerate(images[members[:per_class]]):
            tile = 255 - cv2.resize(image, (cell, cell), interpolation=cv2.INTER_CUBIC)
            x = left + column * (cell + gap)
            # The darker of tint and ink, so that the band shows through the paper.
            part = canvas[top : top + cell, x : x + cell]
            np.minimum(part, tile[..., None], out=part)
    return canvas


def _write(canvas: ColorImage, text: str, x: int, middle: int, colour: tuple[int, int, int], size: float) -> None:
    (_, height), _ = cv2.getTextSize(text, FONT, size, 1)
    cv2.putText(canvas, text, (x, middle + height // 2), FONT, size, colour, 1, cv2.LINE_AA)
