import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from inkdigits.bulk.overlays import Overlays
from inkdigits.errors import OutputError
from inkdigits.reading.results import Item, NumberReading, PageReading

IMAGE = np.full((40, 40), 255, np.uint8)
ITEM = Item(7, 0.9, True, (5, 5, 20, 30), ((1, 0.1),), np.zeros((28, 28), np.uint8))
PAGE = PageReading(40, 40, (NumberReading("7", "7", 0.9, True, (ITEM,)),))


def saved(folder: Path, *names: str) -> list[str]:
    overlays = Overlays(folder, folder / "why")
    for name in names:
        overlays.save(name, IMAGE, PAGE)
    return sorted(path.name for path in folder.glob("*.png"))


def test_pictures_of_different_paths_have_overlays_of_different_names(tmp_path: Path) -> None:
    names = ["a/b.png", "a_b.png", "../a_b.png", "shard.tar#a/b.png", "s3://bucket/b.png", "-"]
    found = saved(tmp_path / "seen", *names)
    assert len(found) == len(names)
    assert {"a_b.png.png", "s3_bucket_b.png.png", "stdin.png"} <= set(found)
    assert len(list((tmp_path / "seen" / "why").iterdir())) == len(names)


def test_the_same_picture_again_has_the_same_name(tmp_path: Path) -> None:
    assert saved(tmp_path, "a/b.png", "a_b.png") == saved(tmp_path, "a/b.png", "a_b.png", "a/b.png", "a_b.png")


@pytest.mark.parametrize("letter", ["x", "é"])
def test_long_names_are_shortened_and_stay_apart(tmp_path: Path, letter: str) -> None:
    names = [letter * 230 + end for end in ("a.png", "b.png")] + ["/".join([letter * 100] * 3)]
    found = saved(tmp_path, *names)
    assert len(found) == 3
    assert all(len(os.fsencode(name)) < 230 for name in found)


def test_overlays_show_the_picture(tmp_path: Path) -> None:
    saved(tmp_path, "a.png")
    seen = cv2.imread(str(tmp_path / "a.png.png"))
    assert seen is not None
    assert seen.shape[2] == 3


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        saved(tmp_path / "file" / "seen", "a.png")
