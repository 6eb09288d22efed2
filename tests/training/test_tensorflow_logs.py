"""TensorFlow's import logs nothing; what is not its chatter passes."""

import os
import subprocess
import sys

import pytest

from inkdigits.training.tensorflow_logs import CHATTER, filtered_stderr


@pytest.mark.slow
def test_importing_tensorflow_is_silent() -> None:
    code = "import inkdigits.training, tensorflow; import tensorflow.keras; assert tensorflow.constant(1).numpy() == 1"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_errors_pass(capfd: pytest.CaptureFixture[str]) -> None:
    with filtered_stderr():
        os.write(2, b"I0000 00:00:17 1 port.cc:153] oneDNN\nW0000 00:00:17 1 x.cc:1] y\n")
        os.write(2, b"E0000 00:00:17 1 x.cc:1] bad\nhm\n")
    assert capfd.readouterr().err == "E0000 00:00:17 1 x.cc:1] bad\nhm\n"


def test_chatter_is_recognised() -> None:
    assert CHATTER.match(b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
    assert not CHATTER.match(b"Traceback (most recent call last):\n")


def test_to_ask_whether_tensorflow_is_there_leaves_its_import_filtered() -> None:
    """As `inkdigits adapt --lines` does before it begins."""
    program = (
        "from importlib.util import find_spec\n"
        "import inkdigits.training\n"
        "from inkdigits.training.tensorflow_logs import _Loader\n"
        "assert [isinstance(find_spec('tensorflow').loader, _Loader) for _ in range(2)] == [True, True]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
