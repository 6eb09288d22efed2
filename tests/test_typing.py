"""What a type checker sees of the public names in a user's own script."""

import subprocess
import sys
from pathlib import Path

import pytest

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
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    revealed = [line.rpartition("is ")[2] for line in done.stdout.splitlines() if "Revealed type" in line]
    assert revealed == ['"int"', '"tuple[int, int, int, int]"', '"str"'], done.stdout + done.stderr
    errors = [line.partition("error: ")[2] for line in done.stdout.splitlines() if ": error: " in line]
    assert errors == [
        '"Reader" has no attribute "no_such_method"  [attr-defined]',
        'Module has no attribute "no_such_name"  [attr-defined]',
    ]
