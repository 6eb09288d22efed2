import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inkdigits.data.idx import read_idx, save_idx_folder, write_idx
from inkdigits.data.splits import Split
from inkdigits.errors import DataError, OutputError

Splits = tuple[Split, Split]
idx_arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9))


@given(idx_arrays)
def test_idx_round_trip(array: np.ndarray) -> None:
    np.testing.assert_array_equal(read_idx(write_idx(array)), array)


@given(idx_arrays, st.data())
def test_a_truncated_idx_is_refused(array: np.ndarray, data: st.DataObject) -> None:
    whole = write_idx(array)
    with pytest.raises(DataError, match="truncated"):
        read_idx(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(idx_arrays, st.binary(min_size=1, max_size=40))
def test_an_over_long_idx_is_refused(array: np.ndarray, more: bytes) -> None:
    with pytest.raises(DataError, match="over-long"):
        read_idx(write_idx(array) + more)


@settings(max_examples=500)
@given(st.binary(max_size=64), st.sampled_from([b"", b"\0\0\x08", b"\0\0\x08\x01", b"\0\0\x08\x03", b"\0\0\x08\xff"]))
def test_random_bytes_raise_nothing_but_data_errors(tail: bytes, head: bytes) -> None:
    try:
        array = read_idx(head + tail)
    except DataError:
        return
    assert write_idx(array) == head + tail


def test_an_export_never_overwrites_and_leaves_nothing_half_written(
    toy: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save_idx_folder(target, *toy)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    save_idx_folder(target, *toy)
    with pytest.raises(OutputError, match="exists already"):
        save_idx_folder(target, *toy)
