"""Several nets as one: a model file whose answer is the mean of its members' probabilities, and a net taught by it.

Teaching ("distillation", Hinton et al. 2015, section 2): the pupil learns from distorted digits, and what each should
be is not its label but what the teacher sees in it, so that a 4 bent half way to a 9 is taught as just that.
"""

import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper

from inkdigits.data.splits import Split
from inkdigits.errors import ModelError
from inkdigits.files import storage
from inkdigits.reading.calibration import probabilities_of
from inkdigits.reading.model import OnnxModel
from inkdigits.training.synthesis.distortion import distort

OPSET = 17
# Of the images of an epoch one in so many is distorted and taught anew: a teacher of ten costs more than learning does.
USES = 3
TOLD_OF_MEMBERS = ("name", "members", "recipe", "seed", "data", "figures")


def combine(members: Sequence[Path], path: Path) -> dict[str, Any]:
    """Write one model file, whose scores are the mean of the members' probabilities, and return its card.

    Args:
        members: two model files or more, of digit nets with the same classes whose scores are softmax or logits.
        path: of the new file, NAME.onnx; it appears whole or not at all.

    Raises:
        ModelError: a member cannot be read, or does not go with the others; the file is there.
        OutputError: it cannot be written.
    """
    if path.exists():
        raise ModelError(f"{path}: is there already; choose another name")
    if path.suffix != ".onnx":
        raise ModelError(f"{path}: a model file's name ends in .onnx")
    cards = [card_of_member(member) for member in members]
    for member, card in zip(members, cards, strict=True):
        if card["classes"] != cards[0]["classes"]:
            raise ModelError(f"{member}: knows other classes than {members[0]}")
    card = {
        "format": 1,
        "kind": "digit",
        "name": f"committee-of-{len(members)}",
        "output": "softmax",
        "classes": cards[0]["classes"],
        "members": [{name: card[name] for name in TOLD_OF_MEMBERS if name in card} for card in cards],
        **{name: cards[0][name] for name in ("data", "versions") if name in cards[0]},
        # The mean of modest probabilities is as modest as they are.
        "temperature": fmean(card.get("temperature", 1.0) for card in cards),
        "threshold": 0.0,
        "figures": {},
    }
    _save(_merged(members, cards), card, path)
    return card


def card_of_member(member: Path) -> dict[str, Any]:
    """Return the card of a net whose scores are probabilities, or become so by a softmax.

    Raises:
        ModelError: it is no such net, or cannot be read.
    """
    card = OnnxModel(member).card
    if card.get("kind", "digit") != "digit" or card.get("output") not in ("softmax", "logits"):
        raise ModelError(
            f"{member}: its scores are {card.get('output')}, no probabilities; train with --output softmax"
        )
    return card


def _merged(members: Sequence[Path], cards: Sequence[dict[str, Any]]) -> onnx.ModelProto:
    """Return one graph that holds all members, fed by the same images."""
    nodes: list[Any] = []
    initializers: list[Any] = []
    probabilities = []
    for i, (member, card) in enumerate(zip(members, cards, strict=True)):
        graph = compose.add_prefix(onnx.load(member), f"member{i}/", rename_inputs=False).graph
        nodes += graph.node
        initializers += graph.initializer
        scores = graph.output[0].name
        if card["output"] == "logits":
            nodes.append(helper.make_node("Softmax", [scores], [f"{scores}/softmax"], axis=1))
        probabilities.append(f"{scores}/softmax" if card["output"] == "logits" else scores)
    nodes.append(helper.make_node("Mean", probabilities, ["scores"]))
    shape = ["N", len(cards[0]["classes"])]
    graph = helper.make_graph(
        nodes,
        "committee",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 28, 28])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape)],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _save(model: onnx.ModelProto, card: dict[str, Any], path: Path) -> None:
    helper.set_model_props(model, {"card": json.dumps(card)})
    onnx.checker.check_model(model)
    storage.write_bytes(path, model.SerializeToString())


class DistillationData:
    """A split distorted and taught epoch by epoch: call it with the epoch (1, 2, ...) to get that epoch's split.

    An epoch shows every image once; a third of them are distorted and taught anew, the others as in the last epochs.
    Its labels are the teacher's probabilities, float32 (N, classes). What an epoch shows depends on `seed` and its
    number alone. The next epoch's are made by a thread while the net learns from this one's.

    Args:
        split: the digits.
        distortion: >= 0, as for `distort`.
        seed: >= 0.
        teacher: the model file to learn from.
    """

    def __init__(self, split: Split, distortion: float, seed: int, teacher: Path) -> None:
        self._split, self._distortion, self._seed = split, distortion, seed
        self._net = OnnxModel(teacher)
        self._parts: dict[int, Future[tuple[np.ndarray, np.ndarray]]] = {}
        self._thread = ThreadPoolExecutor(1)

    def __call__(self, epoch: int) -> Split:
        """Return the split of an epoch."""
        shown = range(epoch - USES + 1, epoch + 1)
        for number in [*shown, epoch + 1]:
            if number not in self._parts:
                self._parts[number] = self._thread.submit(self._teach, number)
        self._parts = {number: part for number, part in self._parts.items() if number >= shown[0]}
        images, labels = (
            np.concatenate(arrays) for arrays in zip(*(self._parts[n].result() for n in shown), strict=True)
        )
        return replace(self._split, images=images, labels=labels)

    def _teach(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return every third image, distorted, and the teacher's probabilities."""
        images = self._split.images[number % USES :: USES]
        images = distort(images, self._distortion, (self._seed, number + USES))
        scores = self._net.scores(images)
        # Not cooled to what the card says: it is the smooth part, what else a digit might be, that teaches.
        return images, probabilities_of(scores, self._net.card["output"], 1.0)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)
