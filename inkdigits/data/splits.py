"""A split of a data set: images, labels, where they came from; a part held out of it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from inkdigits.arrays import Bytes, DigitImages, Labels
from inkdigits.errors import DataError

# Smallest first: whether a mirror can be reached is found out with the first of them.
MNIST_SHA256 = {
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
}

DIGITS = tuple("0123456789")

# name of a file -> uint8 (N,) or (N, H, W)
Arrays = dict[str, Bytes]


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: uint8 (N, 28, 28), 0 = paper, 255 = ink; read-only, often memory-mapped.
        labels: int64 (N,), indices into `class_names`.
        name: "train", "validation" or "test".
        class_names: what each class is called.
        source: where the data came from, in words.
        sha256: of the images' raw IDX file, as `sha256sum` prints it.
    """

    images: DigitImages
    labels: Labels
    name: str
    class_names: tuple[str, ...]
    source: str
    sha256: str

    @property
    def data_name(self) -> str:
        """What a model card calls the data: "MNIST" if it is that to the byte, else the source without its folders."""
        is_mnist = self.sha256 in (MNIST_SHA256["train-images-idx3-ubyte"], MNIST_SHA256["t10k-images-idx3-ubyte"])
        return "MNIST" if is_mnist else Path(self.source.split(",")[0]).name

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, which: int | slice) -> "Split":
        """Return a part of the split: the first `which` examples, or a slice of them."""
        part = slice(which) if isinstance(which, int) else which
        return replace(self, images=self.images[part], labels=self.labels[part])


def hold_out(train: Split, n_validation: int, seed: int) -> tuple[Split, Split]:
    """Divide a split into one to train on and one to choose on, with every class in its share.

    Args:
        train: the split to divide.
        n_validation: how many examples to hold out.
        seed: the same seed holds out the same examples, on every machine.

    Returns:
        Training and validation split, both in the original order.

    Raises:
        DataError: nothing would be left to train on, or nothing held out.
    """
    if not 0 < n_validation < len(train):
        raise DataError(f"cannot hold out {n_validation:,} of {len(train):,} examples: choose 1 to {len(train) - 1:,}")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(train))
    # In each class the k-th of its n examples stands at (k + 1/2) / n; the first `n_validation` of all are held out.
    place = np.empty(len(train))
    for label in np.unique(train.labels):
        members = shuffled[train.labels[shuffled] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    held = np.zeros(len(train), bool)
    held[shuffled[np.argsort(place[shuffled], kind="stable")[:n_validation]]] = True
    parts = ((~held, "train"), (held, "validation"))
    kept, validation = (
        replace(train, images=train.images[mask], labels=train.labels[mask], name=name) for mask, name in parts
    )
    return kept, validation
