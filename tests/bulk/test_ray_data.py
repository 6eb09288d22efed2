"""Ray is started by a process of its own, and what it starts ends with that."""

import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from inkdigits.bulk.read import read_to_file
from inkdigits.data.splits import Split

pytest.importorskip("ray")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def read(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inkdigits", "read", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def inputs(toy: tuple[Split, Split], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Files, a shard and a table, with pictures that cannot be read in each."""
    folder = tmp_path_factory.mktemp("scans")
    (folder / "files").mkdir()
    scans = [cv2.imencode(".png", np.pad(255 - image, 9, constant_values=255))[1] for image in toy[1].images[:30]]
    blobs = [scan.tobytes() if i % 10 else b"no picture" for i, scan in enumerate(scans)]
    for i, blob in enumerate(blobs):
        (folder / "files" / f"{i:02}.png").write_bytes(blob)
    with tarfile.open(folder / "shard.tar", "w") as archive:
        archive.add(folder / "files", "in")
    pq.write_table(pa.table({"image": [*blobs, None]}), folder / "t.parquet", row_group_size=12)
    (folder / "bad.parquet").write_bytes(b"PAR1")
    return [str(folder / "files"), str(folder / "shard.tar"), *map(str, sorted(folder.glob("*.parquet")))]


def test_a_cluster_writes_the_rows_of_one_machine_in_their_order(inputs: list[str], tmp_path: Path) -> None:
    output, here = tmp_path / "cluster.parquet", tmp_path / "here.parquet"
    more = tmp_path / "list"
    more.write_bytes(b"caf\xe9.png")
    summary = read_to_file(str(here), inputs, "digit", "digit", workers=1, list_file=str(more))
    words = ["--list", str(more), "--layout", "digit", "--rows", "digit", "--output", str(output)]
    output.write_bytes(b"what is overwritten")
    done = read(*inputs, *words, "--overwrite", "--workers", "1", "--ray")
    assert done.returncode == 1, done.stderr  # some cannot be read
    assert done.stdout == f"{output}\n"
    assert str(summary).partition(";")[0] in done.stderr
    assert summary.n_errors == 3 * 3 + 3
    there = pq.read_table(output)
    assert there.num_rows == 30 + 30 + 1 + 31 + 1
    assert there.equals(pq.read_table(here))
    assert {path.name for path in tmp_path.iterdir()} == {"cluster.parquet", "here.parquet", "list"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--output", "rows.csv", "--ray"], "a cluster writes a folder of Parquet files"),
        (["--output", "rows.parquet", "--ray", "--resume"], "has no --resume"),
        (["--output", "rows.parquet", "--ray", "127.0.0.1:1"], "no Ray cluster answers at 127.0.0.1:1"),
        (["nowhere.png", "--output", "rows.parquet", "--ray"], "nowhere.png: no such file or folder"),
    ],
)
def test_what_a_cluster_cannot_do_is_one_line(inputs: list[str], words: list[str], says: str) -> None:
    done = read(inputs[0], *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_overwritten_stays_until_there_is_something_in_its_place(inputs: list[str], tmp_path: Path) -> None:
    output = tmp_path / "rows.parquet"
    output.write_bytes(b"precious")
    done = read(str(tmp_path / "*.png"), "--output", str(output), "--overwrite", "--ray")
    assert done.returncode == 1
    assert "matches no file" in done.stderr
    assert output.read_bytes() == b"precious"
