"""Digits that a network did not learn from, as it sees them: a file beside it, to adapt it without forgetting."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inkdigits.arrays import DigitImages, Labels, NDArray, Scores
from inkdigits.errors import ModelError, reason
from inkdigits.files.storage import write_bytes
from inkdigits.reading.model import OnnxModel

LEVELS = 31  # embeddings are stored in so many steps


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Digits that a network did not learn from.

    Attributes:
        embeddings: float32 (N, features), what its last layer takes in.
        scores: float32 (N, 10), what it answers.
        labels: int64 (N,), 0 to 9.
    """

    embeddings: NDArray[np.float32]
    scores: Scores
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, which: slice) -> "HeldOut":
        """Return a part."""
        return HeldOut(self.embeddings[which], self.scores[which], self.labels[which])


def held_out_path(model: Path) -> Path:
    """Return where the held-out digits of a model file are kept."""
    return model.with_suffix(".held-out.npz")


def save_held_out(model: OnnxModel, images: DigitImages, labels: Labels) -> None:
    """Write what a network sees in digits that it did not learn from, beside its file.

    Raises:
        OutputError: it cannot be written.
        ModelError: the network has no embeddings.
    """
    embeddings, scores = model.embeddings(np.asarray(images))
    lowest = float(embeddings.min())
    step = (float(embeddings.max()) - lowest) / LEVELS or 1.0
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        embeddings=np.rint((embeddings - lowest) / step).astype(np.uint8),
        range=np.array([lowest, step], np.float32),
        scores=scores,
        labels=labels.astype(np.uint8),
    )
    write_bytes(held_out_path(model.path), buffer.getvalue())


def load_held_out(model: Path) -> HeldOut:
    """Read the held-out digits of a model file.

    Raises:
        ModelError: there are none, or the file is damaged.
    """
    path = held_out_path(model)
    if not path.is_file():
        raise ModelError(f"{model}: no held-out digits beside it ({path.name}); a run with --validation keeps some")
    arrays = load_arrays(path, ("embeddings", "range", "scores", "labels"))
    lowest, step = (float(value) for value in arrays["range"])
    embeddings = lowest + step * arrays["embeddings"].astype(np.float32)
    return HeldOut(embeddings, arrays["scores"], arrays["labels"].astype(np.int64))


def load_arrays(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return arrays of an .npz file by their names.

    Raises:
        ModelError: the file is missing or damaged, or lacks one.
    """
    try:
        # From memory: of a damaged file NumPy would leave the handle open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"{path}: cannot be read ({reason(error)})") from None
