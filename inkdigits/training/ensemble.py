"""An ensemble: several networks as one model file, whose answer is the mean of its members' probabilities.

Of digit networks the file itself takes the mean. The columns of line networks do not say the same at the same place, so
the file answers with those of each member, and the mean is that of whole texts (`reading.decoding`).
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper

from inkdigits.errors import ModelError
from inkdigits.files import storage
from inkdigits.reading.model import OnnxModel

OPSET = 17
TOLD_OF_MEMBERS = ("name", "members", "recipe", "seed", "data", "figures")
# What line networks of an ensemble have in common.
SAME_OF_LINES = ("classes", "blank", "height", "stride", "views", "normalisation", "seed", "data")


def combine(members: Sequence[Path], path: Path) -> dict[str, Any]:
    """Write one model file, whose answer is the mean of the members' probabilities, and return its card.

    Args:
        members: two model files or more: digit networks with the same classes whose scores are softmax or logits, or
            line networks that were trained on the same digits.
        path: of the new file, NAME.onnx; it appears whole or not at all.

    Raises:
        ModelError: a member cannot be read, or does not go with the others; the file is there.
        DataError: MNIST, of whose digits line networks are calibrated together, cannot be loaded.
        OutputError: the file cannot be written.
    """
    if path.exists():
        raise ModelError(f"{path}: is there already; choose another name")
    if path.suffix != ".onnx":
        raise ModelError(f"{path}: a model file's name ends in .onnx")
    if all(OnnxModel(member).card.get("kind") == "line" for member in members):
        return _combine_lines(members, path)
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
        "members": _told_of(cards),
        **{name: cards[0][name] for name in ("data", "versions") if name in cards[0]},
        # The mean of modest probabilities is as modest as they are.
        "temperature": fmean(card.get("temperature", 1.0) for card in cards),
        "no_threshold": "of several networks none is fitted",
        "figures": {},
    }
    _save(_merged(members, cards), card, path)
    return card


def _combine_lines(members: Sequence[Path], path: Path) -> dict[str, Any]:
    """Write line networks as one file, calibrated together, and return its card."""
    from inkdigits.data.loading import load_mnist
    from inkdigits.data.splits import hold_out
    from inkdigits.training import line_model, recipes

    cards = [OnnxModel(member).card for member in members]
    for member, card in zip(members, cards, strict=True):
        for name in SAME_OF_LINES:
            if card.get(name) != cards[0].get(name):
                raise ModelError(f"{member}: has another {name} than {members[0]}; train both alike")
    recipe = recipes.from_dict(cards[0]["recipe"])
    assert isinstance(recipe, recipes.LineRecipe)
    train, test = load_mnist()
    if train.sha256 != cards[0]["data"]["sha256"]:
        raise ModelError(f"{members[0]}: was not trained on MNIST, whose digits line networks are calibrated with")
    told = {"name": f"ensemble-of-{len(members)}", "members": _told_of(cards), "figures": {}}
    with tempfile.TemporaryDirectory(prefix="inkdigits-ensemble-") as folder:
        beside = Path(folder) / "ensemble.onnx"
        _save(_merged(members, cards), cards[0] | told, beside)
        line_model.calibrate(beside, recipe, hold_out(train, recipe.validation, cards[0]["seed"])[1], test)
        storage.write_bytes(path, beside.read_bytes())
    return OnnxModel(path).card


def _told_of(cards: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: card[name] for name in TOLD_OF_MEMBERS if name in card} for card in cards]


def card_of_member(member: Path) -> dict[str, Any]:
    """Return the card of a network whose scores are probabilities, or become so by a softmax.

    Raises:
        ModelError: it is no such network, or cannot be read.
    """
    card = OnnxModel(member).card
    if card.get("kind", "digit") != "digit":
        raise ModelError(f"{member}: is no network for single digits but a {card['kind']} network")
    if card.get("output") not in ("softmax", "logits"):
        raise ModelError(
            f"{member}: its scores are {card.get('output')}, no probabilities; train with --output softmax"
        )
    return card


def _merged(members: Sequence[Path], cards: Sequence[dict[str, Any]]) -> onnx.ModelProto:
    """Return one graph of all members, fed by the same images: the mean of digit networks, lines' side by side."""
    is_line = cards[0].get("kind") == "line"
    nodes: list[Any] = []
    initializers: list[Any] = []
    answers = []
    for i, (member, card) in enumerate(zip(members, cards, strict=True)):
        graph = compose.add_prefix(onnx.load(member), f"member{i}/", rename_inputs=False).graph
        nodes += graph.node
        initializers += graph.initializer
        scores = graph.output[0].name
        if is_line:
            nodes.append(helper.make_node("Unsqueeze", [scores, "members"], [f"{scores}/one"]))
            answers.append(f"{scores}/one")
        elif card["output"] == "logits":
            nodes.append(helper.make_node("Softmax", [scores], [f"{scores}/softmax"], axis=1))
            answers.append(f"{scores}/softmax")
        else:
            answers.append(scores)
    height, width = (cards[0]["height"], "width") if is_line else (28, 28)
    shape = ["N", len(cards[0]["classes"])]
    if is_line:
        initializers.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "members"))
        nodes.append(helper.make_node("Concat", answers, ["scores"], axis=1))
        shape = ["N", len(members), "columns", len(cards[0]["classes"])]
    else:
        nodes.append(helper.make_node("Mean", answers, ["scores"]))
    graph = helper.make_graph(
        nodes,
        "ensemble",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", height, width])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape)],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _save(model: onnx.ModelProto, card: dict[str, Any], path: Path) -> None:
    helper.set_model_props(model, {"card": json.dumps(card)})
    onnx.checker.check_model(model)
    storage.write_bytes(path, model.SerializeToString())
