"""An ensemble: several networks as one model file, whose answer is the mean of its members' probabilities."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import onnx
from onnx import TensorProto, compose, helper

from inkdigits.errors import ModelError
from inkdigits.files import storage
from inkdigits.reading.model import OnnxModel

OPSET = 17
TOLD_OF_MEMBERS = ("name", "members", "recipe", "seed", "data", "figures")


def combine(members: Sequence[Path], path: Path) -> dict[str, Any]:
    """Write one model file, whose scores are the mean of the members' probabilities, and return its card.

    Args:
        members: two model files or more, of digit networks with the same classes whose scores are softmax or logits.
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
        "name": f"ensemble-of-{len(members)}",
        "output": "softmax",
        "classes": cards[0]["classes"],
        "members": [{name: card[name] for name in TOLD_OF_MEMBERS if name in card} for card in cards],
        **{name: cards[0][name] for name in ("data", "versions") if name in cards[0]},
        # The mean of modest probabilities is as modest as they are.
        "temperature": fmean(card.get("temperature", 1.0) for card in cards),
        "no_threshold": "of several networks none is fitted",
        "figures": {},
    }
    _save(_merged(members, cards), card, path)
    return card


def card_of_member(member: Path) -> dict[str, Any]:
    """Return the card of a network whose scores are probabilities, or become so by a softmax.

    Raises:
        ModelError: it is no such network, or cannot be read.
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
        "ensemble",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 28, 28])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape)],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _save(model: onnx.ModelProto, card: dict[str, Any], path: Path) -> None:
    helper.set_model_props(model, {"card": json.dumps(card)})
    onnx.checker.check_model(model)
    storage.write_bytes(path, model.SerializeToString())
