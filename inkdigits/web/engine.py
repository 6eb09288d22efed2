"""From a picture's bytes to its reading: decoding and queues in front of one `Reader`.

Three kinds of picture, each with bounded queues and threads of its own, so that a slow picture holds up only its kind:
small ones of one digit, small ones of rows (a drawing, a cell), and large ones.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from inkdigits.arrays import GrayImage
from inkdigits.errors import ImageError
from inkdigits.files.images import read_image
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import PageReading
from inkdigits.web.batching import Batcher
from inkdigits.web.decoder import Decoder
from inkdigits.web.formats import SMALL_PIXELS, check_format, png_size
from inkdigits.web.settings import Settings

DIGIT_PIXELS = 65_536  # 256 x 256; larger pictures of one digit cost as much as a row
DECODERS = 2
PICTURE = "the picture"  # its name in messages: names from outside stay out of them

PictureQueue: TypeAlias = Batcher[bytes | GrayImage, PageReading]


class Engine:
    """Reads pictures for many who ask at the same time.

    Args:
        reader: answers all of them.
        settings: the limits.
        observe: called with the kind of picture and the size of each batch.
    """

    def __init__(self, reader: Reader, settings: Settings, observe: Callable[[str, int], None]) -> None:
        self.reader = reader
        self._max_pixels = settings.max_pixels
        self._decoder = Decoder(DECODERS, settings.large_queue, settings.decode_limit_s)
        self._queues: dict[tuple[str, str], PictureQueue] = {}
        sizes = {"digit": (settings.digit_queue, settings.max_batch), "rows": (settings.rows_queue, 16)}
        for layout in ("digit", "number", "page"):
            name = "digit" if layout == "digit" else "rows"
            for kind, (capacity, max_batch) in {name: sizes[name], "large": (settings.large_queue, 1)}.items():
                patience_ms = settings.patience_ms if kind != "large" else 0.0
                self._queues[kind, layout] = Batcher(
                    f"{kind} pictures",
                    partial(self._read_batch, layout),
                    capacity,
                    max_batch,
                    patience_ms,
                    partial(observe, kind),
                )

    @property
    def is_full(self) -> bool:
        """Whether some queue would reject the next picture."""
        return any(queue.is_full for queue in self._queues.values())

    async def read(self, data: bytes, layout: str) -> PageReading:
        """Return the reading of a picture.

        Args:
            data: the bytes of a PNG, JPEG, WebP, BMP, GIF or TIFF file.
            layout: "digit", "number" or "page".

        Raises:
            ImageError: the picture cannot be read.
            RequestError: it is empty, of another format, took too long, or too many wait.
        """
        size = png_size(data)
        if size is not None:
            return await self._queue(layout, size[0] * size[1]).ask(data)
        image = await self.decode(data)
        return await self._queue(layout, image.size).ask(image)

    async def decode(self, data: bytes) -> GrayImage:
        """Return a picture as `images.read_image` does, whatever it is made of.

        Raises:
            ImageError: the picture cannot be read.
            RequestError: it is empty, of another format, took too long, or too many wait.
        """
        if png_size(data) is not None:
            return await asyncio.to_thread(read_image, data, name=PICTURE)
        check_format(data)
        return await self._decoder.decode(data, self._max_pixels)

    def close(self) -> None:
        """End all threads and processes, once they have finished."""
        for queue in self._queues.values():
            queue.close()
        self._decoder.close()

    def _queue(self, layout: str, n_pixels: int) -> PictureQueue:
        if n_pixels > SMALL_PIXELS:
            return self._queues["large", layout]
        return self._queues["digit" if layout == "digit" else "rows", layout]

    def _read_batch(self, layout: str, jobs: Sequence[bytes | GrayImage]) -> list[PageReading | Exception]:
        images = [self._decoded(job) for job in jobs]
        fine = [image for image in images if isinstance(image, np.ndarray)]
        pages = iter(self.reader.read_many(fine, layout))
        return [next(pages) if isinstance(image, np.ndarray) else image for image in images]

    def _decoded(self, job: bytes | GrayImage) -> GrayImage | ImageError:
        if isinstance(job, np.ndarray):
            return job
        try:
            return read_image(job, max_pixels=SMALL_PIXELS, name=PICTURE)
        except ImageError as error:
            return error
