"""Thresholds and promises: what a reader accepts follows them, in every layout; what has changed withdraws one."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inkdigits.errors import PromiseError
from inkdigits.evaluation.cells import evaluate_cells, promise_for, saved_promise
from inkdigits.reading.promise import SavedPromise, load_promise
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import NumberReading

N = 60  # cells, of which all are read right: enough to promise a risk of 5 %, not one of 2


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(text_detector=False)


@pytest.fixture(scope="module")
def page() -> np.ndarray:
    picture = np.full((260, 320), 255, np.uint8)
    for text, y in (("273", 90), ("845", 210)):
        cv2.putText(picture, text, (30, y), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 0, 6)
    return picture


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, reader: Reader) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    for number in range(N):
        cell = np.full((64, 110), 255, np.uint8)
        cv2.putText(cell, "27", (20 + number % 12, 46), cv2.FONT_HERSHEY_SIMPLEX, 1.2, number % 5 * 12, 3, cv2.LINE_AA)
        cv2.imwrite(str(folder / f"{number}.png"), cell)
    (folder / "truth.json").write_text(json.dumps({f"{number}.png": "27" for number in range(N)}))
    cells = evaluate_cells(reader, folder)
    saved_promise(cells, promise_for(cells, 0.05), reader).save(folder / "promise.json")
    return folder / "promise.json"


def confidences(lines: list[NumberReading]) -> list[float]:
    return sorted(line.confidence for line in lines)


@pytest.mark.parametrize("layout", ["digit", "number", "page"])
def test_a_threshold_decides_in_every_layout_and_changes_nothing_else(
    reader: Reader, page: np.ndarray, layout: str
) -> None:
    parts = [page[:130], page[130:], page]
    before = [line for answer in reader.read_many(parts, layout) for line in answer.lines]
    least, *_, most = confidences(before)
    for threshold in (0.0, (least + most) / 2, most, 1.0):
        other = Reader(text_detector=False, threshold=threshold)
        after = [line for answer in other.read_many(parts, layout) for line in answer.lines]
        for line, was in zip(after, before, strict=True):
            # A page's rows are also rejected for what the two ways of reading it say of them.
            assert line.accepted == (line.confidence >= threshold and (layout != "page" or was.accepted))
            assert all(item.accepted for item in line.items) == line.accepted
            assert line.with_acceptance(True) == was.with_acceptance(True)


def test_single_answers_follow_the_threshold_as_well(reader: Reader, page: np.ndarray) -> None:
    digit = page[20:110, 30:90]
    number, reading, framed = reader.read_number(page[:130]), reader.read_digit(digit), reader.frame(digit)[None]
    for strict in (False, True):
        other = Reader(text_detector=False, threshold=1.0 if strict else 0.0)
        assert other.read_number(page[:130]).accepted is (not strict or number.confidence == 1.0)
        assert other.read_digit(digit).accepted is (not strict or reading.confidence == 1.0)
        assert other.classify(framed).accepted[0] == (not strict or reader.classify(framed).confidence[0] == 1.0)
        (region,) = other.read_regions(page, [(0, 0, 320, 130)])
        assert region.accepted is other.read_number(page[:130]).accepted


def test_where_nothing_is_written_nothing_is_accepted() -> None:
    blank = np.full((60, 120), 255, np.uint8)
    reader = Reader(text_detector=False, threshold=0.0)
    assert not reader.read_number(blank).accepted
    assert not reader.read_regions(blank, [(0, 0, 120, 60)], "digit")[0].accepted


def test_a_promise_is_kept_for_numbers_and_for_nothing_else(saved: Path, page: np.ndarray) -> None:
    reader = Reader(text_detector=False, promise=saved)
    assert reader.promise is not None
    assert reader.threshold == reader.promise.threshold
    assert str(reader.promise).startswith("promise: at most 5 % wrong (95 % sure) at threshold ")
    number = reader.read_number(page[:130])
    assert number.accepted == (number.confidence >= reader.threshold)
    for read in (reader.read_page, reader.read_digit, lambda image: reader.classify(reader.frame(image)[None])):
        with pytest.raises(ValueError, match="a promise is about pictures of one number each"):
            read(page)


def test_the_file_says_what_was_checked(saved: Path, reader: Reader) -> None:
    found = json.loads(saved.read_text())
    assert (found["risk"], found["delta"], found["n"], found["format"]) == (0.05, 0.05, N, 1)
    assert found["source"] == str(saved.parent)
    assert found["networks"] == reader.networks()
    assert set(found["normalisation"]) == {"digit", "line", "finder"}
    assert [step["threshold"] for step in found["steps"]][:2] == [0.999, 0.998]
    assert found["date"].count("-") == 2


def test_a_second_opinion_makes_another_promise(saved: Path) -> None:
    with pytest.raises(PromiseError, match=r"withdrawn: made without a second opinion; read without --second-opinion"):
        Reader(promise=saved, second_opinion=True)
    found = json.loads(saved.read_text())
    found["networks"] = Reader(second_opinion=True).networks()
    other = saved.with_name("other.json")
    other.write_text(json.dumps(found))
    assert Reader(promise=other, second_opinion=True).threshold == found["threshold"]
    with pytest.raises(PromiseError, match="withdrawn: made with a second opinion"):
        Reader(promise=other)


def test_another_risk_as_far_as_the_sample_allows_it(saved: Path) -> None:
    laxer = Reader(text_detector=False, promise=saved, risk=0.2).threshold
    assert laxer is not None
    assert laxer <= json.loads(saved.read_text())["threshold"]
    with pytest.raises(PromiseError, match=rf"^{N} checked numbers of .* cannot promise a risk of 0.01; check again"):
        Reader(text_detector=False, promise=saved, risk=0.01)


def changed(saved: Path, to: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    found = json.loads(saved.read_text())
    change(found)
    to.write_text(json.dumps(found))
    return to


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda found: found["networks"].update(line="0" * 64), "withdrawn: made with another line network"),
        (lambda found: found["networks"].pop("digit"), "withdrawn: made with another digit network"),
        (lambda found: found["normalisation"].update(line=0), "withdrawn: made behind version 0 of the line normal"),
        (lambda found: found.update(threshold=0.1), "not a promise that can be kept .its sample gives another thr"),
        (lambda found: found.update(steps=[]), "not a promise that can be kept .its sample gives another thr"),
        (lambda found: found.update(format=2), "not a promise that can be kept .another format"),
        (lambda found: found.pop("steps"), "not a promise that can be kept"),
        (lambda found: found.update(more=1), "not a promise that can be kept"),
        (lambda found: found.update(networks=[1]), "not a promise that can be kept .it does not say of which networks"),
    ],
)
def test_what_has_changed_withdraws_a_promise(
    saved: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], says: str
) -> None:
    path = changed(saved, tmp_path / "promise.json", change)
    with pytest.raises(PromiseError, match=says) as caught:
        Reader(text_detector=False, promise=path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).count("check again") == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", "\x00", "[" * 100_000])
def test_a_file_that_is_no_promise_is_one_line(tmp_path: Path, text: str, reader: Reader) -> None:
    path = tmp_path / "promise.json"
    path.write_text(text)
    with pytest.raises(PromiseError, match="not a promise that can be kept"):
        load_promise(path, reader.networks())
    with pytest.raises(PromiseError, match=r"cannot be read .No such file"):
        load_promise(tmp_path / "missing.json", reader.networks())


def test_a_promise_comes_back_from_its_file_as_it_was(saved: Path, tmp_path: Path, reader: Reader) -> None:
    promise = load_promise(saved, reader.networks())
    replace(promise, source="elsewhere").save(tmp_path / "again.json")
    assert replace(load_promise(tmp_path / "again.json", reader.networks()), source=promise.source) == promise
    assert isinstance(promise, SavedPromise)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"threshold": 1.5}, "threshold must be 0 to 1"),
        ({"threshold": 0.9, "promise": "promise.json"}, "a threshold or a promise, not both"),
        ({"risk": 0.01}, "risk goes with a promise"),
        ({"risk": 0.0, "promise": "promise.json"}, "risk goes with a promise"),
    ],
)
def test_what_contradicts_itself_is_an_error(words: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Reader(**words)
