"""What a type checker sees of the public names in a user's own script."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import inkdigits

SCRIPT = """
import inkdigits
from inkdigits import Reader, Run, __version__, train

reveal_type(Reader().read_digit("seven.png").digit)
reveal_type(Reader().read_page("page.png").lines[0].items[0].box)
reveal_type(__version__)
run: Run = train("hidden", epochs=1)
Reader().no_such_method(3)
inkdigits.no_such_name
"""


@pytest.mark.slow
def test_a_users_script_sees_types_and_its_own_mistakes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    # Without NumPy's and Keras's own types, which take mypy half a minute and change nothing here.
    alone = [
        "--no-site-packages",
        "--ignore-missing-imports",
        "--follow-imports=silent",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    command = [sys.executable, "-m", "mypy", "--strict", *alone, "script.py"]
    environment = os.environ | {"MYPYPATH": str(Path(inkdigits.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (Path(inkdigits.__file__).parent / "py.typed").exists()
    revealed = [line.rpartition("is ")[2] for line in done.stdout.splitlines() if "Revealed type" in line]
    assert revealed == ['"int"', '"tuple[int, int, int, int]"', '"str"'], done.stdout + done.stderr
    errors = [line.partition("error: ")[2] for line in done.stdout.splitlines() if ": error: " in line]
    assert errors == [
        '"Reader" has no attribute "no_such_method"  [attr-defined]',
        'Module has no attribute "no_such_name"  [attr-defined]',
    ]
