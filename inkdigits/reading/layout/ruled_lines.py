"""Removes ruled lines."""

from dataclasses import replace

import cv2
import numpy as np

from inkdigits.arrays import Indices, Ink, Points
from inkdigits.reading.layout.regions import connected_components
from inkdigits.reading.layout.rows import usual_height
from inkdigits.reading.layout.structures import Rule

MAX_RULES = 200


def without_rules(binary: Ink, faint: Ink) -> Ink:
    """Return the ink without straight lines longer than digits: ruled and squared paper, tables, edges of the paper.

    Args:
        binary: uint8 (h, w), 1 on ink.
        faint: uint8 (h, w), 1 on whatever is darker than paper, as rules are often printed pale.
    """
    flat = np.arange(binary.size, dtype=np.int64).reshape(binary.shape)
    across = _rules(binary, faint, flat)
    down = _rules(np.ascontiguousarray(binary.T), np.ascontiguousarray(faint.T), np.ascontiguousarray(flat.T))
    down = [replace(rule, ends=rule.ends[:, ::-1]) for rule in down]
    slack = 4 + 0.008 * max(binary.shape)
    framed = [_is_side(rule, down, slack) for rule in across] + [_is_side(rule, across, slack) for rule in down]
    rules = [rule for rule, side in zip(across + down, framed, strict=True) if side or rule.far]
    if not rules:
        return binary
    rest = _without(binary, [rule.pixels for rule in rules])
    _, boxes, _ = connected_components(rest)
    height = usual_height(boxes, rest.shape) if len(boxes) else 0.0
    return _without(binary, [rule.pixels for rule in rules if _is_longer_than_digits(rule, height, len(rules))])


def _is_side(rule: Rule, others: list[Rule], slack: float) -> bool:
    """Say whether both ends of a line meet lines across it, as the sides of boxes and tables do."""
    return all(any(_meets(end, other.ends, slack) for other in others) for end in rule.ends)


def _meets(point: Points, ends: Points, slack: float) -> bool:
    low, high = ends.min(axis=0) - slack, ends.max(axis=0) + slack
    return bool((point >= low).all() and (point <= high).all())


def _is_longer_than_digits(rule: Rule, height: float, count: int) -> bool:
    """Say whether a straight line is no stroke of a digit, given the height of what remains without such lines."""
    if rule.far:
        # A lone line is somebody's 1, or the long stroke of a 7.
        return rule.length >= 1.6 * height and (count > 1 or height >= 0.15 * rule.length)
    return rule.length >= 1.15 * height >= 0.05 * rule.length


def _without(binary: Ink, pixels: list[Indices]) -> Ink:
    cleaned = binary.copy()
    for some in pixels:
        cleaned.ravel()[some] = 0
    return cleaned


def _rules(binary: Ink, faint: Ink, flat: Indices) -> list[Rule]:
    """Return near-horizontal straight lines, with their pixels as values of `flat`, less what crosses them."""
    width = binary.shape[1]
    longest = max(binary.shape)
    runs = cv2.morphologyEx(faint, cv2.MORPH_OPEN, np.ones((1, max(9, longest // 64)), np.uint8))
    joined = cv2.morphologyEx(runs, cv2.MORPH_CLOSE, np.ones((3, max(9, longest // 40)), np.uint8))
    labels, boxes, _ = connected_components(joined)
    margin = max(2, width // 50)
    to_border = (boxes[:, 0] <= margin) | (boxes[:, 0] + boxes[:, 2] >= width - margin)
    # Lines that end inside the picture are rules if there are several of them.
    several = np.count_nonzero(boxes[:, 2] >= 0.4 * longest) >= 3
    far = boxes[:, 2] >= np.where(to_border, 0.3, 0.4 if several else 0.6) * longest
    rules = []
    for number in np.argsort(-boxes[:, 2], kind="stable")[:MAX_RULES]:
        x, y, w, h = boxes[number]
        if w < 0.025 * longest:
            break
        window = np.s_[y : y + h, x : x + w]
        rule = runs[window] & (labels[window] == number + 1)
        pixels = _rule_pixels(binary, flat, rule, x, y)
        if len(pixels):
            ends = np.array([[x, y + h / 2], [x + w, y + h / 2]])
            rules.append(Rule(int(w), ends, bool(far[number]) and w >= 25 * len(pixels) / w, pixels))
    return rules


def _rule_pixels(binary: Ink, flat: Indices, rule: Ink, x: int, y: int) -> Indices:
    """Return the pixels of the line in `rule` (a mask whose corner lies at x, y), none if it is no fine line."""
    columns = np.flatnonzero(rule.any(axis=0))
    thickness = rule.sum(axis=0, dtype=float)[columns]
    usual = float(np.median(thickness))
    # Gaps would make it a row of dashes, such as ones above ones; thickness, a bar; slope, a long 1.
    if len(columns) < 0.85 * rule.shape[1] or rule.shape[1] < 12 * usual:
        return flat[:0, 0]
    middle = (rule * np.arange(len(rule))[:, None]).sum(axis=0)[columns] / thickness
    curve = np.polynomial.Polynomial.fit(columns, middle, 2, w=np.where(thickness <= 1.5 * usual, 1.0, 0.05))
    rise = abs(float(curve(columns[-1]) - curve(columns[0])))
    if np.median(np.abs(curve(columns) - middle)) > 1 + usual / 2 or rise > 0.18 * rule.shape[1]:
        return flat[:0, 0]
    span = np.arange(columns[0], columns[-1] + 1)
    reach = round(usual / 2) + 2
    offsets = np.arange(-reach - 2, reach + 3)[:, None]
    rows = np.clip(np.rint(curve(span)).astype(int) + y + offsets, 0, len(binary) - 1)
    window = binary[rows, span + x]
    # A stroke that crosses the line goes on above or below it.
    crossed = window[:2].all(axis=0) | window[-2:].all(axis=0)
    pixels: Indices = flat[rows[2:-2, ~crossed], (span + x)[~crossed]].ravel()
    return pixels
