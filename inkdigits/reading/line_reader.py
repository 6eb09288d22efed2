"""Line images -> numbers, by the line network."""

import numpy as np

# In its own heights: what is longer is no row of digits, and only its beginning is read.
LONGEST_ROW = 200
LINE_CHUNK = 64


def box_to_picture(box: tuple[int, int, int, int], transform: np.ndarray) -> tuple[int, int, int, int]:
    """Return the upright box x, y, width, height in the picture around a box in a crop."""
    x, y, width, height = box
    corners = np.array([[x, y, 1], [x + width, y, 1], [x, y + height, 1], [x + width, y + height, 1]]) @ transform.T
    points = corners[:, :2] / corners[:, 2:]
    low, high = np.floor(points.min(axis=0) + 1e-6), np.ceil(points.max(axis=0) - 1e-6)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])
