"""A model file: an ONNX network and its card."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from inkdigits.errors import ModelError
from inkdigits.machine import cores

SHIPPED = Path(__file__).parent / "weights"
# More images in one call gain nothing and only fill memory: a convolutional net's activations are ~100 times its input.
CHUNK = 256


class OnnxModel:
    """An ONNX file and its card: uint8 pixels in, raw scores out.

    Raises:
        ModelError: the file is missing, is no ONNX model, or carries no card.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.path = path
        self.session = _open_session(path, threads)
        self.card = _card_of(self.session, path)

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return the net's float32 scores for uint8 (N, H, W), in chunks so that memory stays flat."""
        chunks = [images[i : i + CHUNK] for i in range(0, len(images), CHUNK)] or [images]
        return np.concatenate([self.session.run(["scores"], {"images": chunk})[0] for chunk in chunks])


def _open_session(path: Path, threads: int | None) -> ort.InferenceSession:
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = cores() if threads is None else threads
    # Threads that spin between two small calls take the cores from decoding and from other readers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        raise ModelError(f"{path}: not a readable ONNX model ({str(error).splitlines()[0][:120]})") from None


def _card_of(session: ort.InferenceSession, path: Path) -> dict[str, Any]:
    raw = session.get_modelmeta().custom_metadata_map.get("card")
    if raw is None:
        raise ModelError(f"{path}: carries no inkdigits card; export it with `inkdigits train`")
    card: dict[str, Any] = json.loads(raw)
    return card


def load_card(model: str | Path | None = None) -> dict[str, Any]:
    """Return the card of a model file, a run directory, or the shipped digit net (None).

    Raises:
        ModelError: there is no such model, or it carries no card.
    """
    return OnnxModel(model_path(model)).card


def model_path(model: str | Path | None) -> Path:
    """Return the ONNX file that `model` means: a file, a run directory, or None for the shipped digit net."""
    if model is None:
        return SHIPPED / "digit.onnx"
    path = Path(model)
    return path / "model.onnx" if path.is_dir() else path
