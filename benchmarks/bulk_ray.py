"""Ray's rows against this machine's on the same pictures, and two of Ray's workers against one.

Usage: python benchmarks/bulk_ray.py [--rows 20000] [--numbers 20000] [--json FILE]

The rows of `--rows` pictures of one digit are compared one by one. Rates are those of cells of 1 to 4 digits, without
Ray's start (some seconds) but with the start of the actors: each opens a Reader with one thread.
"""

import argparse
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import ray
from bench_bulk import as_number, as_scan, write_pictures
from common import Table, publish

from inkdigits.bulk.read import read_to_file


def rows_on_ray(pictures: Path, layout: str, workers: int, output: Path) -> float:
    """Write the rows and return the seconds that took; Ray runs already."""
    started = time.monotonic()
    read_to_file(str(output), [str(pictures)], layout, workers=workers, ray="local")
    return time.monotonic() - started


def split(path: Path, images: int) -> None:
    """Give a Parquet file row groups of 500 pictures, the units that Ray hands out."""
    table = pq.read_table(path)
    assert len(table) == images
    pq.write_table(table, path, row_group_size=500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--numbers", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digits, numbers = folder / "digits.parquet", folder / "numbers.parquet"
        write_pictures(digits, arguments.rows, as_scan)
        write_pictures(numbers, arguments.numbers, as_number)
        for path, images in ((digits, arguments.rows), (numbers, arguments.numbers)):
            split(path, images)
        rows_on_ray(digits, "digit", 2, folder / "ray.parquet")
        read_to_file(str(folder / "here.parquet"), [str(digits)], "digit")
        here, there = pq.read_table(folder / "here.parquet"), pq.read_table(folder / "ray.parquet")
        same = sum(a == b for a, b in zip(here.to_pylist(), there.to_pylist(), strict=True))
        one, two = (rows_on_ray(numbers, "number", n, folder / f"{n}.parquet") for n in (1, 2))
    ray.shutdown()
    rows = [
        ["rows equal to those of one machine, in the same order", f"{same:,} of {len(here):,}"],
        [f"1 worker, {arguments.numbers:,} cells", f"{one:.1f} s, {arguments.numbers / one:,.0f} a second"],
        [f"2 workers, {arguments.numbers:,} cells", f"{two:.1f} s, {arguments.numbers / two:,.0f} a second"],
        ["ratio", f"{one / two:.2f}"],
    ]
    figures = {"same": same, "rows": len(here), "one_s": one, "two_s": two, "numbers": arguments.numbers}
    publish("bulk_ray", "On a Ray cluster", [Table("", ["", ""], rows)], figures=figures, path=arguments.json)
    if same < len(here):
        raise SystemExit("rows DIFFER")


if __name__ == "__main__":
    main()
