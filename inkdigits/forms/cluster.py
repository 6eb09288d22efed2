"""The pages of forms read on a Ray cluster: each actor has the template and a reader of its own."""

import itertools
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from inkdigits.arrays import GrayImage
from inkdigits.forms.read import FormAnswer, FormReader, PageAnswer
from inkdigits.machine import connect_ray, cores
from inkdigits.reading.reader import Reader


class ClusterPages:
    """Reads pages on actors, one after the other in turn.

    Args:
        actors: Ray's handles of `_Actor`.
    """

    def __init__(self, actors: list[Any]) -> None:
        self.size = 2 * len(actors)  # one page waits at each actor while it reads another
        self._turns = itertools.cycle(actors)

    def submit(self, source: str, image: GrayImage, digest: str) -> "Future[FormAnswer | PageAnswer]":
        """Return what will be the answer to a page."""
        answer: Future[FormAnswer | PageAnswer] = next(self._turns).read.remote(source, image, digest).future()
        return answer


@contextmanager
def on_cluster(
    address: str, template: Path, model: Path | None = None, second_opinion: bool = False
) -> Iterator[ClusterPages]:
    """Yield what reads pages on a cluster until the block ends.

    Args:
        address: "auto" or HOST:PORT or ray://HOST:PORT; "local" starts a cluster on this machine.
        template: the form's folder; its files are sent along.
        model: as of `Reader`; every machine must see it under this path.
        second_opinion: as of `Reader`.

    Raises:
        InkdigitsError: Ray is missing or cannot be reached.
    """
    files = {path.name: path.read_bytes() for path in template.iterdir() if path.is_file()}
    with connect_ray(address, n_cpus=cores()) as ray:
        n = max(1, int(ray.cluster_resources().get("CPU", 1)))
        actor = ray.remote(num_cpus=1)(_Actor)
        own_model = None if model is None else str(model)
        actors = [actor.remote(files, own_model, second_opinion) for _ in range(n)]
        try:
            yield ClusterPages(actors)
        finally:
            for each in actors:
                ray.kill(each)


class _Actor:
    """What Ray keeps on each core: the form's reader."""

    def __init__(self, files: dict[str, bytes], model: str | None, second_opinion: bool) -> None:
        cv2.setNumThreads(1)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            reader = Reader(model, threads=1, text_detector=False, second_opinion=second_opinion)
            self._reader = FormReader(folder, reader)

    def read(self, source: str, image: GrayImage, digest: str) -> FormAnswer | PageAnswer:
        """Return the answer to a page."""
        return self._reader.answer_of(source, image, digest)
