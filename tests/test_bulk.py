from pathlib import Path

import cv2
import numpy as np
import pytest

from inkdigits import bulk
from inkdigits.errors import ImageError
from inkdigits.reader import Item, NumberReading, PageReading


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 20), 255, np.uint8))
    return path


def test_folders_globs_and_files_become_pictures_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "deep/er/c.jpg"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    found = [Path(name).name for name in bulk.find_files([str(tmp_path)])]
    assert found == ["a.PNG", "b.png", "c.jpg"]
    assert [Path(n).name for n in bulk.find_files([str(tmp_path / "*.png"), "-"])] == ["b.png", "-"]
    # A file that somebody names is read, whatever its suffix; a missing one is reported when it is read.
    named = [str(tmp_path / "notes.txt"), str(tmp_path / "missing.png")]
    assert list(bulk.find_files(named)) == named


@pytest.mark.parametrize("name", ["", "*.png"])
def test_nothing_to_read_is_an_error_that_names_the_place(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=str(tmp_path)):
        list(bulk.find_files([str(tmp_path / name)]))


def line(text: str, accepted: list[bool]) -> NumberReading:
    digits = [character for character in text if character.isdigit()]
    items = tuple(
        Item(int(d), 0.9, ok, (0, 0, 5, 5), (), np.zeros((28, 28), np.uint8))
        for d, ok in zip(digits, accepted, strict=True)
    )
    return NumberReading(text, "".join(digits), 0.9, all(accepted), items)


def test_doubtful_digits_are_marked_and_counted() -> None:
    page = PageReading(50, 50, (line("-12.5", [True, False, True]), line("7", [False])))
    answer = bulk.Answer("a.png", page)
    assert bulk.as_text(answer) == "a.png: -12?.5\na.png: 7?"
    assert bulk.count_doubtful(answer) == 2
    assert bulk.as_text(bulk.Answer("b.png", PageReading(5, 5, ()))) == "b.png: "


def test_an_error_takes_the_place_of_the_lines() -> None:
    assert bulk.Answer("x", error="x: empty").to_dict() == {"image": "x", "error": "x: empty"}
