import codecs
import errno
import io
import itertools
import json
import os
import random
import string
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inkdigits.bulk import containers, inputs, pool
from inkdigits.bulk.checkpoint import Counts
from inkdigits.bulk.containers import Member, members_of
from inkdigits.bulk.inputs import Listing
from inkdigits.bulk.read import read_files
from inkdigits.errors import InputError, OutputError
from inkdigits.files import storage

pa = pytest.importorskip("pyarrow")
PNG = cv2.imencode(".png", np.full((20, 20), 255, np.uint8))[1].tobytes()


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PNG)
    return path


@pytest.fixture
def listing() -> Iterator[Callable[..., Listing]]:
    with ExitStack() as opened:
        yield lambda *names, list_file=None: opened.enter_context(Listing(inputs.all_sources(names, list_file)))


def pictures_of(path: Path, column: str | None = None) -> list[containers.Picture]:
    return [containers.loaded(member) for member in members_of(str(path), column)]


def test_folders_globs_and_files_become_pictures_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "deep/er/c.jpg"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    found = [Path(name).name for name in inputs.find_files([str(tmp_path)])]
    assert found == ["a.PNG", "b.png", "c.jpg"]
    assert [Path(n).name for n in inputs.find_files([str(tmp_path / "*.png"), "-"])] == ["b.png", "-"]
    # A file that somebody names is read, whatever its suffix; a missing one is reported when it is read.
    named = [str(tmp_path / "notes.txt"), str(tmp_path / "missing.png")]
    assert list(inputs.find_files(named)) == named


def test_a_folder_is_walked_in_the_order_of_whole_paths(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(120):
        parts = ["".join(rng.choices("ab-. _" + string.digits, k=rng.randint(1, 3))) + "x" for _ in range(3)]
        picture(tmp_path.joinpath(*parts[: rng.randint(1, 3)]).with_suffix(".png"))
    found = list(inputs.find_files([str(tmp_path)]))
    assert found == sorted(str(p) for p in tmp_path.rglob("*.png") if "/." not in str(p))
    assert len(found) > 60


@pytest.mark.parametrize("name", ["", "*.png"])
def test_nothing_to_read_is_an_error_that_names_the_place(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        list(inputs.find_files([str(tmp_path / name)]))


@pytest.mark.parametrize("mark", ["\n", "\r\n", "\0"])
def test_a_list_names_files_whatever_parts_them(tmp_path: Path, mark: str, listing: Callable[..., Listing]) -> None:
    names = ["a.png", " b c.png", "#d.png", os.fsdecode(b"\xe9.png")] + [f"{i}.png" for i in range(9000)]
    file = tmp_path / "list.txt"
    file.write_bytes(mark.join(map(os.fsdecode, map(os.fsencode, names))).encode("utf-8", "surrogateescape"))
    assert [found.path for found in inputs.in_list(str(file))] == names
    assert [found.path for found in listing(list_file=str(file))] == names
    file.write_bytes(codecs.BOM_UTF8 + mark.join(["a.png", "b.png"]).encode())
    assert [found.path for found in inputs.in_list(str(file))] == ["a.png", "b.png"]


def test_a_link_to_nothing_is_no_picture_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    assert list(inputs.find_files([str(tmp_path)])) == [str(tmp_path / "a.png")]


def test_a_circle_of_links_is_one_picture_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "folder").symlink_to(tmp_path)
    picture(tmp_path / "c.png")
    assert [Path(name).name for name in inputs.find_files([str(tmp_path)])] == ["a.png", "b.png", "c.png"]
    found = pool.image_of(pictures_of(tmp_path / "a.png")[0])
    assert isinstance(found, str)
    assert "a.png" in found


def test_hidden_files_and_folders_are_passed_over_unless_they_are_named(tmp_path: Path) -> None:
    hidden = [picture(tmp_path / name) for name in ("._scan.png", ".git/a.png", "in/.b/c.png")]
    seen = picture(tmp_path / "in" / "scan.png")
    assert list(inputs.find_files([str(tmp_path)])) == [str(seen)]
    assert list(inputs.find_files([str(hidden[0]), str(tmp_path / ".git")])) == list(map(str, hidden[:2]))
    shard = write_tar(tmp_path / "mac.tar", ["./a", "in/._a", ".b/a"])
    assert [name for name, _, _ in pictures_of(shard)] == [f"{shard}#./a.png"]


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be listed, not even by root."""
    folder = tmp_path / "scans" / "b"
    folder.mkdir(parents=True)
    real = os.scandir

    def scandir(path: str) -> Any:
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return folder


def test_a_subfolder_that_cannot_be_listed_is_one_error_among_the_pictures(
    locked: Path, listing: Callable[..., Listing]
) -> None:
    for name in ("a.png", "c.png"):
        picture(locked.with_name(name))
    error = f"{locked}: cannot be listed (Permission denied)"
    (chunk,) = listing(str(locked.parent)).chunks(9, None)
    assert [(Path(name).name, error) for name, _, error in chunk.pictures] == [
        ("a.png", None),
        ("b", error),
        ("c.png", None),
    ]
    answers = list(read_files([str(locked.parent)], "digit"))
    assert [answer.error for answer in answers] == [None, error, None]
    assert Counts.total(answer.counts for answer in answers).n_errors == 1
    with pytest.raises(InputError, match="Permission denied"):
        list(inputs.find_files([str(locked)]))


def test_a_full_disk_of_temporary_files_is_told_from_inputs_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listing: Callable[..., Listing]
) -> None:
    class Full(io.BytesIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    names = str(picture(tmp_path / "a.png"))
    monkeypatch.setattr(storage, "open_input", lambda path: Broken())
    with pytest.raises(InputError, match="list of inputs cannot be read"):
        listing(list_file=str(tmp_path / "list"))
    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(OutputError, match=r"the list of inputs: .*No space left"):
        listing(names)


def test_an_empty_or_missing_list_is_an_error(tmp_path: Path, listing: Callable[..., Listing]) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "missing"):
        with pytest.raises(InputError, match=name):
            listing(list_file=str(tmp_path / name))


def test_a_listing_tells_when_a_file_was_changed_or_came(tmp_path: Path, listing: Callable[..., Listing]) -> None:
    picture(tmp_path / "a.png")
    first = listing(str(tmp_path))
    assert listing(str(tmp_path)).sha256 == first.sha256
    (tmp_path / "a.png").write_bytes(PNG + b"\0")
    changed = listing(str(tmp_path))
    picture(tmp_path / "b.png")
    assert len({first.sha256, changed.sha256, listing(str(tmp_path)).sha256}) == 3


def write_tar(path: Path, names: list[str], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name in names:
            for suffix, data in ((".png", PNG + name.encode()), (".cls", b"7")):
                info = tarfile.TarInfo(name + suffix)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.xz", "w:xz")]
)
def test_a_shard_holds_the_pictures_among_its_members(tmp_path: Path, suffix: str, mode: str) -> None:
    path = write_tar(tmp_path / f"shard{suffix}", ["b", "deep/a"], mode)
    assert pictures_of(path) == [(f"{path}#{n}.png", PNG + n.encode(), None) for n in ("b", "deep/a")]
    assert [containers.loaded(m)[1] for m in itertools.islice(members_of(str(path)), 1, None)] == [PNG + b"deep/a"]


def test_a_shard_that_breaks_off_gives_what_it_has_and_one_error(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "whole.tar", list("abcdef"))
    broken = tmp_path / "broken.tar"
    broken.write_bytes(whole.read_bytes()[: 4 * 2048 + 512 + 10])
    found = pictures_of(broken)
    good = [each for each in found if each[2] is None]
    assert [name for name, _, _ in good] == [f"{broken}#{n}.png" for n in "abcd"]
    assert all(str(broken) in str(error) for _, _, error in found[len(good) :])
    assert len(found) > len(good)
    for cut in (4 * 2048 // 2, 4 * 2048 // 2 + 100):  # where a file should begin; in its header
        broken.write_bytes(whole.read_bytes()[:cut])
        assert "damaged from here on" in str(pictures_of(broken)[-1][2])
    damaged = bytearray(whole.read_bytes())
    damaged[2048:2560] = b"\xff" * 512
    broken.write_bytes(damaged)
    assert "damaged from here on" in str(pictures_of(broken)[-1][2])
    for name, data in (("text.tar", b"no archive"), ("empty.tar", b""), ("none.tar.gz", b"\x1f\x8bxx")):
        (tmp_path / name).write_bytes(data)
        (only,) = pictures_of(tmp_path / name)
        assert name in str(only[2])


def table(**columns: Any) -> Any:
    return pa.table(columns)


def write_table(path: Path, content: Any) -> Path:
    import pyarrow.feather
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        pq.write_table(content, path, row_group_size=3)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(content, str(path), compression="uncompressed")
    else:
        with pa.ipc.new_stream(str(path), content.schema) as writer:  # as Hugging Face's data sets are kept
            writer.write_table(content, max_chunksize=3)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
def test_a_table_holds_a_picture_a_row(tmp_path: Path, suffix: str) -> None:
    blobs = [PNG + bytes([i]) for i in range(8)]
    plain = write_table(tmp_path / f"t{suffix}", table(label=list(range(8)), data=blobs))
    assert pictures_of(plain) == [(f"{plain}#{i}", blob, None) for i, blob in enumerate(blobs)]
    nested = [{"bytes": blob, "path": "x"} if i != 5 else None for i, blob in enumerate(blobs)]
    hub = write_table(tmp_path / f"hub{suffix}", table(image=nested))
    found = pictures_of(hub)
    assert [data for _, data, _ in found] == [*blobs[:5], None, *blobs[6:]]
    assert found[5][2] == f"{hub}#5: no picture (null)"


def test_row_groups_of_a_parquet_file_make_the_whole(tmp_path: Path) -> None:
    path = str(write_table(tmp_path / "t.parquet", table(image=[bytes([i]) for i in range(8)])))
    assert containers.row_groups(path) == 3
    apart = [m.name for group in range(3) for m in members_of(path, None, group)]
    assert apart == [m.name for m in members_of(path)]


def test_the_column_of_pictures_is_found_or_asked_for(tmp_path: Path) -> None:
    def of(column: str | None, **columns: Any) -> str:
        return containers.picture_column("t.parquet", table(**columns).schema, column)

    assert of(None, label=[1], whatever=[b""]) == "whatever"
    assert of(None, mask=[b""], image=[b""]) == "image"
    assert of("mask", mask=[b""], image=[b""]) == "mask"
    for column, columns, says in (
        (None, {"a": [b""], "b": [b""]}, "--column a or b"),
        (None, {"a": [1]}, "no column holds bytes"),
        ("c", {"a": [b""]}, "'c' is not there; --column may be: a"),
        ("a", {"a": [1]}, "'a' holds no bytes"),
    ):
        with pytest.raises(InputError, match=says):
            of(column, **columns)
    with pytest.raises(InputError, match="'c' is not there"):  # of all things damaged this one stops a run
        list(members_of(str(write_table(tmp_path / "t.parquet", table(a=[b""]))), "c"))


def test_a_damaged_table_is_one_error(tmp_path: Path) -> None:
    for suffix in (".parquet", ".arrow", ".feather"):
        path = tmp_path / f"bad{suffix}"
        path.write_bytes(b"PAR1 or not")
        ((_, data, error),) = pictures_of(path)
        assert data is None
        assert f"bad{suffix}" in str(error)
    empty = write_table(tmp_path / "empty.parquet", table(image=pa.array([], pa.binary())))
    assert "no rows" in str(pictures_of(empty)[0][2])


def test_chunks_are_the_same_again_and_what_is_done_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listing: Callable[..., Listing]
) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    shard = write_tar(tmp_path / "d.tar", list("defgh"))
    names = [str(tmp_path), str(shard)]
    chunks = list(listing(*names).chunks(3, None))
    assert [[Path(name).name[-5:] for name, _, _ in chunk.pictures] for chunk in chunks] == [
        ["a.png", "b.png", "c.png"],
        ["d.png", "e.png", "f.png"],
        ["g.png", "h.png"],
    ]
    assert [chunk.number for chunk in chunks] == [0, 1, 2]
    assert chunks[-1].consumed == 1
    assert sorted(chunk.consumed for chunk in chunks) == [chunk.consumed for chunk in chunks]
    again = list(listing(*names).chunks(3, None, {0, 1}))
    assert [chunk.pictures for chunk in again] == [(), (), chunks[2].pictures]
    # A chunk travels to another process as a whole: large pictures make it shorter.
    monkeypatch.setattr(inputs, "CHUNK_BYTES", 2 * len(PNG) + 2)
    assert [len(chunk.pictures) for chunk in listing(str(shard)).chunks(3, None)] == [2, 2, 1]


def test_a_listing_of_many_needs_no_memory_for_them(tmp_path: Path, listing: Callable[..., Listing]) -> None:
    import tracemalloc

    file = tmp_path / "many.txt"
    file.write_text("".join(f"s3://bucket/{i:09}.png\n" for i in range(10_000)))
    tracemalloc.start()
    try:
        total = sum(len(chunk.pictures) for chunk in listing(list_file=str(file)).chunks(100, None))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 10_000
    assert peak < 1e6


def test_names_that_no_utf8_can_hold_survive_the_listing(tmp_path: Path, listing: Callable[..., Listing]) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9\n.png")
    with open(name, "wb") as file:
        file.write(PNG)
    (found,) = listing(str(tmp_path))
    assert os.fsencode(found.path) == name
    assert json.loads(json.dumps(found.path)) == found.path


def test_members_are_files_unless_their_names_say_otherwise() -> None:
    assert list(members_of("a.png")) == [Member("a.png")]
    assert containers.is_container("A.TAR")
    assert not containers.is_container("a.tar.png")
    assert storage.is_remote("s3://a/b.tar")
