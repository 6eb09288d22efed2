"""Model files that a Reader cannot use end in one line that says why."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import save_linear_onnx
from onnx import helper

from inkdigits.errors import ModelError
from inkdigits.reading.digit_reader import DigitReader
from inkdigits.reading.line_reader import LineReader
from inkdigits.reading.model import SHIPPED, OnnxModel, load_card
from inkdigits.reading.normalise.version import VERSIONS
from inkdigits.reading.page_reader import PageReader
from inkdigits.reading.reader import Reader
from inkdigits.reading.row_reader import RowReader

KERNEL = np.zeros((784, 10), np.float32)
BIAS = np.zeros(10, np.float32)


def linear(path: Path, card: dict[str, Any]) -> Path:
    save_linear_onnx(path, KERNEL, BIAS, {"output": "logits"} | card)
    return path


def changed(path: Path, new: Path, input_type: int | None = None, card: str | None = None) -> Path:
    """Copy a model with another type of its input, or with another text as its card."""
    model = onnx.load(path)
    if input_type is not None:
        model.graph.input[0].type.tensor_type.elem_type = input_type
    if card is not None:
        del model.metadata_props[:]
        helper.set_model_props(model, {"card": card})
    onnx.save(model, new)
    return new


def error_of(path: Path) -> str:
    """Return the one line in which a Reader says that it cannot use a model."""
    with pytest.raises(ModelError) as caught:
        Reader(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


def test_float_input_is_named(tmp_path: Path) -> None:
    good = linear(tmp_path / "good.onnx", {})
    floats = changed(good, tmp_path / "floats.onnx", onnx.TensorProto.FLOAT)
    assert "uint8" in error_of(floats)
    assert "tensor(float)" in error_of(floats)


@pytest.mark.parametrize("card", ["{", "[1]", '"digit"'])
def test_a_damaged_card_is_named(tmp_path: Path, card: str) -> None:
    good = linear(tmp_path / "good.onnx", {})
    assert "card is damaged" in error_of(changed(good, tmp_path / "bad.onnx", card=card))


def test_a_card_that_lacks_something_is_named(tmp_path: Path) -> None:
    good = linear(tmp_path / "good.onnx", {})
    assert "lacks classes, output" in error_of(changed(good, tmp_path / "bad.onnx", card='{"kind": "digit"}'))
    classes = linear(tmp_path / "classes.onnx", {"classes": ["0", "1"]})
    assert "10 scores for the 2 classes" in error_of(classes)


def test_weights_for_another_normalisation_are_refused(tmp_path: Path) -> None:
    other = linear(tmp_path / "other.onnx", {"normalisation": 99, "versions": {"inkdigits": "9.1"}})
    says = error_of(other)
    assert "normalisation" in says
    assert "train it again" in says
    assert "9.1" in says
    assert load_card(other)["normalisation"] == 99  # its card can still be looked at
    line = json.dumps(OnnxModel(SHIPPED / "line.onnx").card | {"normalisation": 99})
    assert "line normalisation" in error_of(changed(SHIPPED / "line.onnx", tmp_path / "line.onnx", card=line))


def test_weights_from_before_there_was_a_version_are_accepted(tmp_path: Path) -> None:
    assert "normalisation" not in load_card(linear(tmp_path / "old.onnx", {}))
    Reader(tmp_path / "old.onnx")
    Reader(linear(tmp_path / "same.onnx", {"normalisation": VERSIONS["digit"]}))


def test_shipped_weights_are_for_this_normalisation() -> None:
    for path in SHIPPED.glob("*.onnx"):
        assert OnnxModel(path).card["normalisation"] == VERSIONS[path.stem]


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_threads_than_one_are_named(threads: int) -> None:
    for kind in (Reader, DigitReader, LineReader):
        with pytest.raises(ValueError, match="threads must be at least 1"):
            kind(threads=threads)


def test_a_network_of_the_other_kind_is_named() -> None:
    with pytest.raises(ModelError, match="not a digit net"):
        DigitReader(SHIPPED / "line.onnx")
    with pytest.raises(ModelError, match="not a line net"):
        LineReader(SHIPPED / "digit.onnx")
    assert Reader(SHIPPED / "line.onnx").card["kind"] == "digit"


def test_the_parts_read_alone_what_the_whole_reads() -> None:
    picture = np.full((60, 90), 230, np.uint8)
    picture[10:50, 40:46] = 30
    reader = Reader(threads=1)
    digits, lines = DigitReader(threads=1), LineReader(threads=1)
    assert digits.read([picture]) == reader.read_digits([picture])
    assert lines.read([picture]) == [reader.read_number(picture)]
    pages = PageReader(digits, lines, RowReader(digits, lines, threads=1))
    assert tuple(line for line in pages.read([picture])[0].lines if line.digits) == reader.read_page(picture).lines
