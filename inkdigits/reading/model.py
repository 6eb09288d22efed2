"""A model file: an ONNX network and its card."""

import hashlib
import json
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from inkdigits.arrays import Floats, NDArray, Scores
from inkdigits.errors import ModelError, reason
from inkdigits.machine import cores
from inkdigits.reading.normalise.version import normalisation_version

SHIPPED = Path(__file__).parent / "weights"
# More images in one call are no faster and only fill memory: activations are about 100 times as large as the input.
CHUNK = 256


class OnnxModel:
    """An ONNX file and its card: uint8 pixels in, raw scores out.

    Args:
        path: the file.
        threads: how many ONNX Runtime may use, at least 1; all cores where None.

    Attributes:
        path: the file.
        session: ONNX Runtime's.
        card: what the file says of itself: kind, classes, recipe, seed, data, versions, calibration, figures.

    Raises:
        ModelError: the file is missing, is no ONNX model, carries no card, or breaks the contract of every network
            here: one input `images`, uint8 (N, height, width), and an output `scores`, float32.
        ValueError: fewer threads than one.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        check_threads(threads)
        self.path = path
        self.session = _open_session(path, threads)
        self.card = _card_of(self.session, path)
        _check_contract(self.session, path)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def scores(self, images: NDArray[np.uint8]) -> Scores:
        """Return the network's float32 scores for uint8 (N, H, W), in chunks so that memory stays flat."""
        chunks = [images[i : i + CHUNK] for i in range(0, len(images), CHUNK)] or [images]
        return np.concatenate([self.session.run(["scores"], {"images": chunk})[0] for chunk in chunks])

    def embeddings(self, images: NDArray[np.uint8]) -> tuple[Floats, Scores]:
        """Return what the last layer takes in, float32 (N, features), and the scores, for uint8 (N, H, W).

        Raises:
            ModelError: the file has no such output; exports of earlier versions have none.
        """
        if all(each.name != "embeddings" for each in self.session.get_outputs()):
            raise ModelError(f"{self.path}: has no output `embeddings`; train it again with this inkdigits")
        chunks = [images[i : i + CHUNK] for i in range(0, len(images), CHUNK)] or [images]
        answers = [self.session.run(["embeddings", "scores"], {"images": chunk}) for chunk in chunks]
        return np.concatenate([each[0] for each in answers]), np.concatenate([each[1] for each in answers])

    def require(self, kind: str, fields: Collection[str]) -> None:
        """Check that a reader of a kind can use the network.

        A card without a version of the normalisation is accepted: runs trained before the version existed have
        none, and all of them were trained behind version 1.

        Args:
            kind: "digit", "line" or "finder".
            fields: what the card must hold, "classes" among them.

        Raises:
            ModelError: the card lacks a field, has other classes than the scores have columns, or names another version
                of the normalisation.
        """
        missing = [field for field in fields if field not in self.card]
        if missing:
            raise ModelError(f"{self.path}: its card lacks {', '.join(missing)}; export it with `inkdigits train`")
        columns = next(each for each in self.session.get_outputs() if each.name == "scores").shape[-1]
        if isinstance(columns, int) and columns != len(self.card["classes"]):
            raise ModelError(f"{self.path}: {columns} scores for the {len(self.card['classes'])} classes of its card")
        made_for, ours = self.card.get("normalisation"), normalisation_version(kind)
        if made_for not in (None, ours):
            theirs = self.card.get("versions", {}).get("inkdigits", "unknown")
            raise ModelError(
                f"{self.path}: trained behind version {made_for} of the {kind} normalisation, this inkdigits has "
                f"version {ours}; train it again, or read with the inkdigits that trained it (version {theirs})"
            )


def check_threads(threads: int | None) -> None:
    """Raise ValueError for fewer threads than one; None stands for all cores."""
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, or None for all cores; got {threads}")


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
        raise ModelError(f"{path}: not a readable ONNX model ({reason(error)})") from None


def _card_of(session: ort.InferenceSession, path: Path) -> dict[str, Any]:
    raw = session.get_modelmeta().custom_metadata_map.get("card")
    if raw is None:
        raise ModelError(f"{path}: carries no inkdigits card; export it with `inkdigits train`")
    try:
        card = json.loads(raw)
    except ValueError:
        card = None
    if not isinstance(card, dict):
        raise ModelError(f"{path}: its inkdigits card is damaged; export it again with `inkdigits train`")
    return card


def _check_contract(session: ort.InferenceSession, path: Path) -> None:
    inputs = [(each.name, each.type, len(each.shape)) for each in session.get_inputs()]
    if inputs != [("images", "tensor(uint8)", 3)]:
        found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in session.get_inputs())
        raise ModelError(f"{path}: its input must be `images`, uint8 (N, height, width); it is {found or 'missing'}")
    outputs = [(each.name, each.type) for each in session.get_outputs()]
    if ("scores", "tensor(float)") not in outputs:
        found = ", ".join(f"{name} {kind}" for name, kind in outputs)
        raise ModelError(f"{path}: its output must be `scores`, float32; it is {found or 'missing'}")


def load_card(model: str | Path | None = None) -> dict[str, Any]:
    """Return the card of a model file, a run directory, or the shipped digit network (None).

    Raises:
        ModelError: there is no such model, or it carries no card.

    Examples:
        >>> card = load_card()
        >>> card["kind"], card["data"]["n"]
        ('digit', 60000)
    """
    return OnnxModel(model_path(model)).card


def model_path(model: str | Path | None) -> Path:
    """Return the ONNX file that `model` means: a file, a run directory, or None for the shipped digit network."""
    if model is None:
        return SHIPPED / "digit.onnx"
    path = Path(model)
    return path / "model.onnx" if path.is_dir() else path
