"""Does `inkdigits read --output` survive kill -9 at any moment? Kills it at random, goes on, compares bytes.

Usage: python benchmarks/bulk_kill.py [--kills 24] [--images 3000] [--format csv] [--json FILE]

Half of the kills hit the main process alone, half the whole group. A time to live is drawn again for each start, from
nothing to the whole run's, so that some fall into the start, some into the join.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from common import Table, publish

import inkdigits

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}


def make_pictures(folder: Path, images: int) -> None:
    """Write dark digits on light paper, one a file, and a few files that are none."""
    _, test = inkdigits.load_mnist()
    folder.mkdir()
    for i in range(images):
        picture = np.pad(255 - test.images[i % len(test)], 4, constant_values=255)
        content = cv2.imencode(".png", picture)[1].tobytes() if i % 500 != 77 else b"no picture"
        (folder / f"{i:07}.png").write_bytes(content)


def start(output: Path, pictures: Path) -> "subprocess.Popen[bytes]":
    # Parts of 40 pictures, so that a kill has many places to fall on.
    code = (
        "from inkdigits.bulk import pool\nfrom inkdigits.cli.main import main\nif __name__ == '__main__':\n"
        "    pool.PICTURES_PER_PART.update(digit=40)\n    main()\n"
    )
    script = pictures.parent / "small_parts.py"
    script.write_text(code)
    words = ["read", str(pictures), "--layout", "digit", "--output", str(output), "--resume"]
    return subprocess.Popen([sys.executable, str(script), *words], **QUIET)


def kill_at_random(output: Path, pictures: Path, kills: int, whole_s: float) -> tuple[list[int], list[bytes]]:
    """Kill and start again until so many kills were deadly.

    Returns:
        How many parts there were after each, and what came out whenever it came to an end.
    """
    rng = random.Random(0)
    parts: list[int] = []
    outputs: list[bytes] = []
    while len(parts) < kills or not outputs:
        process = start(output, pictures)
        time.sleep(rng.uniform(0, whole_s))
        if rng.random() < 0.5:
            os.kill(process.pid, signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            parts.append(len(list(Path(f"{output}.parts").glob(f"0*{output.suffix}"))))
        elif output.exists():
            outputs.append(output.read_bytes())
            output.unlink()
    return parts, outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--format", choices=("csv", "jsonl", "parquet"), default="csv")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        make_pictures(pictures, arguments.images)
        whole, output = (Path(folder) / f"{name}.{arguments.format}" for name in ("whole", "rows"))
        started = time.monotonic()
        assert start(whole, pictures).wait() == 0
        parts, outputs = kill_at_random(output, pictures, arguments.kills, time.monotonic() - started)
        assert start(output, pictures).wait() == 0
        outputs.append(output.read_bytes())
        same = sum(content == whole.read_bytes() for content in outputs)
        left = sorted(path.name for path in Path(folder).iterdir() if path.name.endswith(".parts"))
    if same < len(outputs) or left:
        raise SystemExit(f"{len(outputs) - same} of {len(outputs)} outputs DIFFER; left behind: {left or 'nothing'}")
    row = [
        f"{arguments.images:,}",
        f"{len(parts)}",
        f"{min(parts)} to {max(parts)} of {-(-arguments.images // 40)}",
        f"{same} of {len(outputs)}",
    ]
    header = [
        "pictures",
        "kills -9",
        "parts there after a kill",
        "outputs equal, byte for byte, to that of a run never killed",
    ]
    publish(
        "bulk_kill",
        "Killed while it reads",
        [Table(f"`inkdigits read --output rows.{arguments.format} --resume`", header, [row])],
        figures={
            "images": arguments.images,
            "kills": len(parts),
            "parts_after": parts,
            "outputs": len(outputs),
            "same": same,
        },
        path=arguments.json,
    )


if __name__ == "__main__":
    main()
