"""Reads handwritten digits and numbers; trains, evaluates and explains the models that do so.

Names are loaded on first use, so that reading never waits for TensorFlow; type checkers see them all.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# ONNX Runtime's official builds send usage data to Microsoft. Read when it is first imported; set to 0 it stays on.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from inkdigits import errors
    from inkdigits.data.loading import load_data, load_mnist
    from inkdigits.data.splits import Split
    from inkdigits.evaluation.comparison import compare
    from inkdigits.evaluation.digits import evaluate
    from inkdigits.reading.model import load_card
    from inkdigits.reading.reader import Reader
    from inkdigits.reading.results import Classified, Item, NumberReading, PageReading, Reading
    from inkdigits.training.runs import Run
    from inkdigits.training.train import train

__all__ = [
    "Classified",
    "Item",
    "NumberReading",
    "PageReading",
    "Reader",
    "Reading",
    "Run",
    "Split",
    "__version__",
    "compare",
    "errors",
    "evaluate",
    "load_card",
    "load_data",
    "load_mnist",
    "train",
]

_MODULES = {
    "Classified": "reading.results",
    "Item": "reading.results",
    "NumberReading": "reading.results",
    "PageReading": "reading.results",
    "Reader": "reading.reader",
    "Reading": "reading.results",
    "Run": "training.runs",
    "Split": "data.splits",
    "compare": "evaluation.comparison",
    "evaluate": "evaluation.digits",
    "load_card": "reading.model",
    "load_data": "data.loading",
    "load_mnist": "data.loading",
    "train": "training.train",
}


if not TYPE_CHECKING:  # or type checkers would believe in any name

    def __getattr__(name: str) -> Any:
        if name == "errors":
            return import_module("inkdigits.errors")
        if name not in _MODULES:
            raise AttributeError(f"module 'inkdigits' has no attribute {name!r}")
        from inkdigits.errors import naming_missing_extra

        with naming_missing_extra():
            return getattr(import_module(f"inkdigits.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
