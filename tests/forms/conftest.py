"""The demo form, copies of it, and a reader."""

from pathlib import Path

import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.forms.demo import KINDS, Copy, compose_copy, save_demo_form
from inkdigits.forms.read import FormReader
from inkdigits.training.synthesis.styles import Digits


@pytest.fixture(scope="session")
def copies(mnist: tuple[Split, Split]) -> list[Copy]:
    digits = Digits(mnist[1].images, mnist[1].labels)
    return [compose_copy(np.random.default_rng((3, number)), digits, KINDS[number % 2]) for number in range(6)]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tally")
    save_demo_form(folder)
    return folder


@pytest.fixture(scope="session")
def reader(folder: Path) -> FormReader:
    return FormReader(folder)
