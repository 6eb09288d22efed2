"""Pages shared on a Ray cluster: a process of its own starts it, and what it starts ends with that."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray")


def form(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inkdigits", "form", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_a_cluster_answers_what_one_machine_does(tmp_path: Path) -> None:
    assert form("demo", tmp_path / "demo", "--copies", "3").returncode == 0
    scans = tmp_path / "demo" / "scans"
    (scans / "broken.png").write_bytes(b"no picture")
    answers = [form("read", tmp_path / "demo", scans, "--json", *more) for more in ((), ("--ray", "local"))]
    assert [done.returncode for done in answers] == [1, 1], answers[1].stderr  # the broken one is rejected
    alone, shared = ([json.loads(line) for line in done.stdout.splitlines()] for done in answers)
    assert len(alone) == 4
    assert shared == alone
