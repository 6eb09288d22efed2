"""Reads handwritten digits and numbers; trains, judges and explains the models which do so.

Names are loaded on first use, so that reading never waits for TensorFlow.
"""

from importlib import import_module
from typing import Any

_HOME_OF = {
    "load_mnist": "inkdigits.data.loading",
    "load_data": "inkdigits.data.loading",
    "Split": "inkdigits.data.loading",
    "Reader": "inkdigits.reading.reader",
    "compare": "inkdigits.evaluation.model_evaluation",
    "evaluate": "inkdigits.evaluation.model_evaluation",
    "Run": "inkdigits.training.runs",
    "train": "inkdigits.training.train",
}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'inkdigits' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOME_OF)
