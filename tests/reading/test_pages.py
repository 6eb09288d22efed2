"""Whole pictures through the Reader with the networks that ship: sheets of MNIST's digits that we put together here."""

import cv2
import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.reading.page_reader import PageReader
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Mark, NumberReading, PageReading

Box = tuple[int, int, int, int]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def write(sheet: np.ndarray, image: np.ndarray, x: int, y: int, height: int = 60) -> Box:
    """Write a digit in MNIST's form onto a light sheet with its upper left corner at x, y; return its box."""
    ys, xs = np.nonzero(image > 60)
    digit = image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    size = max(6, round(height * digit.shape[1] / digit.shape[0])), height
    ink = cv2.resize(digit, size, interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    place = sheet[y : y + height, x : x + size[0]]
    place[:] = (place * (1 - 0.75 * ink)).astype(np.uint8)
    return x, y, size[0], height


def a_sheet(train: Split, rows: int, columns: int, seed: int, gap: int = 40) -> tuple[np.ndarray, list[str], list[Box]]:
    """Return a sheet with rows of digits, what they say, and where each digit is."""
    rng = np.random.default_rng(seed)
    sheet = np.full((150 + 110 * rows, 1100), 230, np.uint8)
    texts, boxes = [], []
    for row in range(rows):
        x, text = 80, ""
        for index in rng.integers(0, len(train), columns):
            boxes.append(write(sheet, train.images[index], x, 80 + 110 * row))
            x += boxes[-1][2] + gap
            text += str(train.labels[index])
        texts.append(text)
    noise = rng.normal(0, 2, sheet.shape)
    return np.clip(cv2.GaussianBlur(sheet, (0, 0), 0.7) + noise, 0, 255).astype(np.uint8), texts, boxes


def right(page: PageReading, texts: list[str]) -> float:
    """Return the share of digits that are right, row by row; a row of another length counts as wrong."""
    found = [line.digits for line in page.lines]
    if len(found) != len(texts):
        return 0.0
    pairs = [pair for a, b in zip(found, texts, strict=True) if len(a) == len(b) for pair in zip(a, b, strict=True)]
    return sum(a == b for a, b in pairs) / sum(len(text) for text in texts)


def test_reads_rows_in_order_with_a_box_for_every_digit(reader: Reader, mnist: tuple[Split, Split]) -> None:
    image, texts, boxes = a_sheet(mnist[0], 5, 8, seed=1)
    page = reader.read_page(image)
    assert right(page, texts) >= 0.95
    found = np.array([item.box for line in page.lines for item in line.items])
    off = np.abs(found - np.array(boxes)).max(axis=1)
    assert np.median(off) <= 2
    assert np.mean(off <= 8) >= 0.95  # a stray fragment beside a digit is not in its box
    assert (page.width, page.height) == image.shape[::-1]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_sheet_lying_on_its_side_is_read_all_the_same(reader: Reader, mnist: tuple[Split, Split], turns: int) -> None:
    image, texts, _ = a_sheet(mnist[0], 4, 8, seed=2)
    turned = np.ascontiguousarray(np.rot90(image, turns))
    page = reader.read_page(turned)
    assert right(page, texts) >= 0.9
    assert all(turned[y : y + h, x : x + w].min() < 150 for line in page.lines for x, y, w, h in boxes_of(line.items))


def boxes_of(items: tuple[object, ...]) -> list[Box]:
    return [item.box for item in items]  # type: ignore[attr-defined]


def test_operators_are_left_out_and_part_the_numbers(reader: Reader, mnist: tuple[Split, Split]) -> None:
    train = mnist[0]
    sheet = np.full((200, 900), 235, np.uint8)
    threes, eights = train.images[train.labels == 3], train.images[train.labels == 8]
    write(sheet, eights[0], 80, 70)
    write(sheet, threes[0], 150, 70)
    cv2.line(sheet, (250, 100), (300, 100), 60, 5)
    cv2.line(sheet, (275, 75), (275, 125), 60, 5)
    write(sheet, threes[1], 350, 70)
    cv2.line(sheet, (440, 75), (485, 125), 60, 5)
    cv2.line(sheet, (485, 75), (440, 125), 60, 5)
    write(sheet, eights[1], 540, 70)
    (line,) = reader.read_page(sheet).lines
    assert line.text == "83 3 8"
    assert line.digits == "8338"
    assert line.accepted


def test_points_and_gaps_of_a_row_are_kept(reader: Reader, mnist: tuple[Split, Split]) -> None:
    train = mnist[0]
    sheet = np.full((200, 900), 235, np.uint8)
    for digit, x in ((8, 80), (3, 140), (5, 215), (4, 500), (2, 565)):
        write(sheet, train.images[train.labels == digit][2], x, 70)
    cv2.circle(sheet, (204, 126), 5, 60, -1)
    (line,) = reader.read_page(sheet).lines
    assert line.text == "83.5 42"
    assert [number.text for number in line.numbers] == ["83.5", "42"]
    (point,) = line.marks
    assert holds(point.box, (204, 126))
    assert line.numbers[1].box[0] > 490


class Says:
    """A line reader that answers every row the same."""

    def __init__(self, answer: NumberReading) -> None:
        self.answer = answer

    def read_crops(self, crops: list[object]) -> list[NumberReading]:
        return [self.answer] * len(crops)


class NoRows:
    """A reader by rows that finds none."""

    def read(self, image: np.ndarray) -> PageReading:
        return PageReading(image.shape[1], image.shape[0], ())


def second_opinion(reader: Reader, sheet: np.ndarray, answer: NumberReading) -> PageReading:
    (page,) = PageReader(reader.digits, Says(answer), NoRows()).read([sheet])  # type: ignore[arg-type]
    return page


def test_a_row_that_the_line_network_reads_otherwise_is_rejected(reader: Reader, mnist: tuple[Split, Split]) -> None:
    sheet, (text,), _ = a_sheet(mnist[0], 1, 3, seed=4)
    other = text[:-1] + str((int(text[-1]) + 1) % 10)
    assert second_opinion(reader, sheet, NumberReading(text, text, 0.9, True, ())).lines[0].accepted
    (line,) = second_opinion(reader, sheet, NumberReading(other, other, 0.9, True, ())).lines
    assert (line.digits, line.accepted, [item.accepted for item in line.items]) == (text, False, [True, True, False])
    assert line.confidence <= 0.1
    (line,) = second_opinion(reader, sheet, NumberReading(text + "1", text + "1", 0.9, True, ())).lines
    assert not any(item.accepted for item in line.items)
    page = second_opinion(reader, sheet, NumberReading("", "", 0.9, False, ()))
    assert (page.text, [ink.reason for ink in page.left_out]) == ("", ["text"] * 3)


def test_an_unsure_sign_is_not_accepted(reader: Reader, mnist: tuple[Split, Split]) -> None:
    sheet, (text,), _ = a_sheet(mnist[0], 1, 3, seed=4)
    signed = NumberReading("-" + text, text, 0.4, False, (), (Mark("-", (1, 2, 3, 4)),))
    (line,) = second_opinion(reader, sheet, signed).lines
    assert (line.text, line.confidence, line.accepted) == ("-" + text, 0.4, False)


def test_words_are_no_numbers(reader: Reader, mnist: tuple[Split, Split]) -> None:
    image, _, _ = a_sheet(mnist[0], 2, 8, seed=3)
    below = np.full((200, image.shape[1]), 230, np.uint8)
    cv2.putText(below, "Hospital total amount", (80, 100), cv2.FONT_HERSHEY_SIMPLEX, 2, 60, 4, cv2.LINE_AA)
    page = reader.read_page(np.concatenate([image, below]))
    assert [len(line.digits) for line in page.lines[:2]] == [8, 8]
    assert sum(item.accepted for line in page.lines[2:] for item in line.items) <= 2


def test_digits_that_touch_are_read_by_the_line_net(reader: Reader, mnist: tuple[Split, Split]) -> None:
    apart, joined = a_sheet(mnist[0], 6, 6, seed=4), a_sheet(mnist[0], 6, 6, seed=4, gap=-5)
    assert right(reader.read_page(apart[0]), apart[1]) >= 0.95
    lines = reader.read_page(joined[0]).lines
    assert len(lines) == 6
    whole = sum(line.digits == text for line, text in zip(lines, joined[1], strict=True))
    assert whole >= 3
    for line, text in zip(lines, joined[1], strict=True):
        if line.digits == text:
            lefts = [item.box[0] for item in line.items]
            assert lefts == sorted(lefts)


def test_a_small_number_on_a_large_picture_is_found_in_number_layout_too(
    reader: Reader, mnist: tuple[Split, Split]
) -> None:
    image, texts, _ = a_sheet(mnist[0], 1, 6, seed=5)
    large = np.full((1200, 1600), 230, np.uint8)
    large[500 : 500 + image.shape[0], 200 : 200 + image.shape[1]] = image
    assert reader.read_number(large).digits == texts[0]


def test_many_pictures_at_once_give_what_each_gives_alone(reader: Reader, mnist: tuple[Split, Split]) -> None:
    images = [a_sheet(mnist[0], rows, 5, seed=6 + rows)[0] for rows in (1, 3)] + [np.full((90, 120), 255, np.uint8)]
    together = reader.read_many(images, "page")
    assert [page.text for page in together] == [reader.read_page(image).text for image in images]
    assert together[2].lines == ()


def test_a_page_of_noise_is_read_without_error(reader: Reader) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 900), dtype=np.uint8)
    assert reader.read_page(noise).width == 900


def test_no_ink_of_a_digits_size_vanishes(reader: Reader, mnist: tuple[Split, Split]) -> None:
    vanished = []
    for seed in range(12):
        image, _, boxes = a_sheet(mnist[0], 4, 8, seed=100 + seed, gap=12)
        cv2.circle(image, (960, 300), 26, 60, -1)
        cv2.putText(image, "Wk", (930, 460), cv2.FONT_HERSHEY_SIMPLEX, 2.4, 60, 6, cv2.LINE_AA)
        page = reader.read_page(image)
        told = [item.box for line in page.lines for item in line.items] + [ink.box for ink in page.left_out]
        rejected = [item.box for line in page.lines if not line.accepted for item in line.items]
        for x, y, width, height in [*boxes, (934, 274, 52, 52), (935, 412, 60, 48)]:
            middle = x + width / 2, y + height / 2
            in_rejected_row = any(top <= middle[1] <= top + tall for _, top, _, tall in rejected)
            if not in_rejected_row and not any(holds(box, middle) for box in told):
                vanished.append((seed, x, y))
    assert not vanished


def holds(box: Box, point: tuple[float, float]) -> bool:
    x, y, width, height = box
    return x <= point[0] <= x + width and y <= point[1] <= y + height


def test_ink_that_is_no_digit_is_told_of_with_a_reason(reader: Reader, mnist: tuple[Split, Split]) -> None:
    image, texts, _ = a_sheet(mnist[0], 3, 6, seed=3)
    cv2.circle(image, (960, 300), 26, 60, -1)
    cv2.putText(image, "W", (930, 460), cv2.FONT_HERSHEY_SIMPLEX, 2.4, 60, 6, cv2.LINE_AA)
    page = reader.read_page(image)
    assert [line.digits for line in page.lines] == texts
    reasons = {ink.reason: ink.box for ink in page.left_out}
    assert holds(reasons["mark"], (960, 300))
    assert holds(reasons["text"], (957, 435))
