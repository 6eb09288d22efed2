import io
import logging
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import pytest

from inkdigits.bulk import inputs
from inkdigits.bulk.checkpoint import Done
from inkdigits.bulk.pool import PICTURES_PER_PART
from inkdigits.bulk.read import read_files, read_to_file
from inkdigits.data.splits import Split
from inkdigits.errors import ImageError, InputError, OutputError
from inkdigits.files import storage

pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
moto = pytest.importorskip("moto.server")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x"
    storage.write_bytes(str(path), b"first")

    def fail(file: IO[bytes]) -> None:
        file.write(b"second")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"x: cannot be written .No space left on device"):
        storage.write_whole(str(path), fail)
    assert path.read_bytes() == b"first"
    assert names_in(tmp_path) == {"x"}


def test_a_file_that_is_written_takes_its_name_at_the_end_and_what_stood_there_stays_until_then(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"first")
    with storage.whole_file(path) as file:
        file.write(b"second")
        file.flush()
        assert path.read_bytes() == b"first"
        (part,) = names_in(tmp_path) - {"x"}
        assert part.endswith(".part")
    assert path.read_bytes() == b"second"
    with pytest.raises(KeyboardInterrupt), storage.whole_file(path):
        raise KeyboardInterrupt
    assert names_in(tmp_path) == {"x"}


def test_content_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), replace(a, b)))
    storage.write_bytes(tmp_path / "x", b"content")
    assert calls == ["fsync", "rename"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left on device") as caught:
        storage.write_whole(tmp_path / "x", lambda file: file.write(b"new" * 100_000), str(tmp_path / "part"))
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == set()


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with pytest.raises(FileNotFoundError), storage.whole_folder(folder) as partial:
        shutil.copy(tmp_path / "missing", partial / "a")
    assert names_in(tmp_path) == set()
    (tmp_path / ".set.partial").mkdir()  # left behind by a kill
    (tmp_path / ".set.partial" / "old").touch()
    with storage.whole_folder(folder) as partial:
        (partial / "a").touch()
        assert not folder.exists()
    assert names_in(tmp_path) == {"set"}
    assert names_in(folder) == {"a"}


def test_a_missing_input_is_no_damaged_picture(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "gone", "no such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=says) as caught:
            storage.open_input(str(path))
        assert not isinstance(caught.value, ImageError)


def test_removing_takes_files_and_folders_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("deep", "file", "nothing"):
        storage.remove(str(tmp_path / name))
    assert names_in(tmp_path) == set()


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """A bucket on an S3 server of this machine."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_REGION": "us-east-1"}
    settings |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
        storage._bucket.cache_clear()
        import boto3

        client = boto3.client("s3", endpoint_url=settings["AWS_ENDPOINT_URL"], region_name="us-east-1")
        client.create_bucket(Bucket="scans")
        yield "s3://scans"
    storage._bucket.cache_clear()
    server.stop()


def put(path: str, data: bytes) -> str:
    storage.write_bytes(path, data)
    return path


def get(path: str) -> bytes:
    with storage.open_input(path) as file:
        return file.read()


def test_objects_are_written_read_listed_and_removed(store: str) -> None:
    for name in ("b.txt", "a b#?.txt", "c/é.txt"):
        put(f"{store}/folder/{name}", name.encode())
    assert get(f"{store}/folder/a b#?.txt") == b"a b#?.txt"
    assert [found.path for found in storage.walk(f"{store}/folder")] == [
        f"{store}/folder/{name}" for name in ("a b#?.txt", "b.txt", "c/é.txt")
    ]
    assert storage.names_in(f"{store}/folder/") == ["a b#?.txt", "b.txt", "c/é.txt"]
    known = storage.stat(f"{store}/folder/b.txt")
    assert known is not None
    assert known.size_bytes == 5
    storage.remove(f"{store}/folder/b.txt")
    assert storage.stat(f"{store}/folder/b.txt") is None
    storage.remove(f"{store}/folder")
    assert storage.names_in(f"{store}/folder") == []


def test_an_upload_that_fails_leaves_no_object(store: str) -> None:
    def fail(file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError("gone")

    with pytest.raises(OutputError, match=r"half\.bin: cannot be written"):
        storage.write_whole(f"{store}/half.bin", fail)
    assert storage.stat(f"{store}/half.bin") is None


def test_errors_of_a_store_are_one_line(store: str) -> None:
    for path in (f"{store}/missing.png", "s3://nobody/x.png", "s3://"):
        with pytest.raises(InputError, match=path) as told:
            storage.read_remote(path, 100)
        assert "\n" not in str(told.value)
        assert "Request ID" not in str(told.value)
    with pytest.raises(OutputError, match="nobody"):
        storage.write_bytes("s3://nobody/x.csv", b"")
    for name in (f"{store}/empty/", f"{store}/*.png"):
        with pytest.raises(InputError):
            list(inputs.find_files([name]))


@pytest.fixture(scope="module")
def blobs(toy: tuple[Split, Split]) -> list[bytes]:
    return [
        cv2.imencode(".png", np.pad(255 - image, 9, constant_values=255))[1].tobytes() for image in toy[1].images[:9]
    ]


def test_names_in_a_store_mean_what_they_mean_on_a_disk(store: str, blobs: list[bytes]) -> None:
    for i in range(3):
        put(f"{store}/in/{i % 2}/{i}.png", blobs[i])
    put(f"{store}/in/notes.txt", b"no picture")
    put(f"{store}/in/.git/hidden.png", blobs[0])
    found = [f"{store}/in/{name}" for name in ("0/0.png", "0/2.png", "1/1.png")]
    assert list(inputs.find_files([f"{store}/in"])) == found
    assert list(inputs.find_files([f"{store}/in/*/*.png"])) == found
    assert list(inputs.find_files([f"{store}/in/0/*.png"])) == found[:2]
    assert list(inputs.find_files([f"{store}/in/**.png"])) == found
    assert list(inputs.find_files([f"{store}/in/0/0.png"])) == found[:1]
    (answer,) = read_files([found[0]], "digit")
    assert answer.page is not None


@pytest.mark.slow
def test_many_from_a_store_into_a_store_are_the_rows_of_a_disk(
    store: str, blobs: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PICTURES_PER_PART, "digit", 4)
    shard = io.BytesIO()
    with tarfile.open(fileobj=shard, mode="w") as archive:
        for i, blob in enumerate(blobs):
            (tmp_path / f"{i}.png").write_bytes(blob)
            put(f"{store}/pile/{i}.png", blob)
            archive.add(tmp_path / f"{i}.png", f"{i}.png")
    put(f"{store}/shard.tar", shard.getvalue())
    (tmp_path / "list").write_text("".join(f"{store}/pile/{i}.png\n" for i in [*range(9), 99]))
    read_to_file(str(tmp_path / "here.parquet"), [str(tmp_path)], "digit", workers=1)
    here = pq.read_table(tmp_path / "here.parquet").drop_columns("path")
    for names, list_file in (([f"{store}/pile"], None), ([f"{store}/shard.tar"], None), ([], str(tmp_path / "list"))):
        output = f"{store}/out/rows.parquet"
        read_to_file(output, names, "digit", list_file=list_file, overwrite=True, workers=1)
        there = pq.read_table(io.BytesIO(get(output)))
        assert there.drop_columns("path").slice(0, 9).equals(here)
        assert there["path"][0].as_py() == (
            f"{store}/shard.tar#0.png" if "tar" in str(names) else f"{store}/pile/0.png"
        )
        assert there.num_rows == (9 if names else 10)
        assert names or "99.png: no such file" in there["error"][9].as_py()
        assert storage.names_in(f"{store}/out") == ["rows.parquet"]


@pytest.mark.slow
def test_a_run_into_a_store_goes_on_where_it_was_stopped(
    store: str, blobs: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PICTURES_PER_PART, "digit", 2)
    for i, blob in enumerate(blobs):
        (tmp_path / f"{i}.png").write_bytes(blob)

    def stop(done: Done) -> None:
        if done.number == 1:
            raise KeyboardInterrupt

    output = f"{store}/stopped/rows.csv"
    with pytest.raises(KeyboardInterrupt):
        read_to_file(output, [str(tmp_path)], "digit", workers=1, report=stop)
    assert "rows.csv.parts/manifest.json" in storage.names_in(f"{store}/stopped")
    summary = read_to_file(output, [str(tmp_path)], "digit", workers=1, resume=True)
    assert 0 < summary.n_pictures_now < summary.n_pictures == 9
    read_to_file(str(tmp_path / "rows.csv"), [str(tmp_path)], "digit", workers=1)
    assert get(output) == (tmp_path / "rows.csv").read_bytes()
    assert storage.names_in(f"{store}/stopped") == ["rows.csv"]


def test_without_pyarrow_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.fs", None)
    storage._bucket.cache_clear()
    with pytest.raises(Exception, match=r"pip install 'inkdigits\[scale\]'"):
        storage.locate("s3://bucket/x")
