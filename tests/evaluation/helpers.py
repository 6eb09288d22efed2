"""Shared by the tests of evaluations and of reports: evaluations of no model, and what an HTML page is made of."""

from html.parser import HTMLParser

import numpy as np

from inkdigits.data.splits import DIGITS, Split
from inkdigits.evaluation.digits import Evaluation
from inkdigits.reading.results import Classified

N = 400


def made_up(seed: int, share_right: float, n: int = N, threshold: float = 0.0, n_classes: int = 10) -> Evaluation:
    """Return an evaluation of a model that is right about so often; labels are the same for all seeds."""
    labels = np.random.default_rng(99).integers(0, n_classes, n)
    rng = np.random.default_rng(seed)
    images = np.zeros((n, 28, 28), np.uint8)
    favoured = np.where(rng.random(n) < share_right, labels, rng.integers(0, n_classes, n))
    logits = rng.normal(size=(n, n_classes)) + 4 * np.eye(n_classes)[favoured]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    confidence = probabilities.max(axis=1)
    answers = Classified(probabilities.argmax(axis=1), probabilities, confidence, confidence >= threshold)
    names = DIGITS if n_classes == 10 else tuple(f"class {k}" for k in range(n_classes))
    split = Split(images, labels, "test", names, "made-up digits", "0" * 64)
    return Evaluation(f"model {seed}", {"output": "softmax", "threshold": threshold}, split, answers)


class Seen(HTMLParser):
    """What a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [value for key in ("href", "src", "srcset", "action") if (value := found.get(key))]
        self.ids += [found["id"]] if found.get("id") else []  # type: ignore[list-item]
        if tag == "img":
            self.images.append(found)
        if tag not in ("img", "br", "meta", "html"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "html":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
