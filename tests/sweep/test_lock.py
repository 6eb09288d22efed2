"""One process at a time works on a study, and a killed one leaves no lock behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inkdigits.errors import RunError
from inkdigits.sweep.lock import study_lock

HOLD = """
import sys
from pathlib import Path
from inkdigits.sweep.lock import study_lock
with study_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_of_the_first_until_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdin
    assert process.stdout.readline() == "held\n"
    with pytest.raises(RunError, match=f"already running .process {process.pid} on .*; wait") as raised:
        study_lock(folder).__enter__()
    assert "\n" not in str(raised.value)
    process.kill()
    process.wait()
    process.stdout.close()
    process.stdin.close()
    with study_lock(folder), pytest.raises(RunError, match=f"process {os.getpid()} on"):
        study_lock(folder).__enter__()
    with study_lock(folder):  # it was released
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match="lock cannot be written"):
        study_lock(tmp_path / "file" / "study").__enter__()
