"""Pictures of unknown origin are decoded in a process of their own, which is killed when it takes too long.

A picture of a few bytes can keep a decoder busy for minutes (a progressive JPEG of ten thousand scans), and a thread
cannot be stopped.
"""

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import numpy as np

from inkdigits.arrays import GrayImage
from inkdigits.errors import ImageError
from inkdigits.web.decoder_process import ANSWER, ASK, BROKEN
from inkdigits.web.errors import RequestError, busy

START_S = 10.0  # a new process first has to import its libraries, on a busy machine


class Decoder:
    """Some processes which decode pictures, started when first needed.

    Args:
        processes: pictures decoded at the same time.
        capacity: pictures that may be decoded or wait for it.
        limit_s: time for one picture.
    """

    def __init__(self, processes: int, capacity: int, limit_s: float) -> None:
        self._limit_s = limit_s
        self._free: list[subprocess.Popen[bytes]] = []
        self._room = threading.BoundedSemaphore(processes + capacity)
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="inkdigits decoder")

    async def decode(self, data: bytes, max_pixels: int) -> GrayImage:
        """Return a picture as `images.read_image` does.

        Raises:
            ImageError: it cannot be read.
            RequestError: 503, too many wait; 422, it took too long.
        """
        if not self._room.acquire(blocking=False):
            raise busy("large pictures")
        future = self._threads.submit(self._decode, data, max_pixels)
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the processes, once they have finished."""
        self._threads.shutdown(wait=True)
        for process in self._free:
            _end(process)
        self._free.clear()

    def _decode(self, data: bytes, max_pixels: int) -> GrayImage:
        process, limit_s = (self._free.pop(), 0.0) if self._free else (_start(), START_S)
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        killer = threading.Timer(limit_s + self._limit_s, give_up)
        killer.start()
        try:
            answer = _exchange(process, data, max_pixels)
        except (OSError, EOFError):
            _end(process)
            if late.is_set():
                raise RequestError(
                    422, "decoding_too_slow", f"the picture took longer than {self._limit_s:g} s"
                ) from None
            raise ImageError("the picture: truncated or damaged (its decoder gave up)") from None
        finally:
            killer.cancel()
        self._free.append(process)
        if isinstance(answer, str):
            raise ImageError(answer)
        return answer


def _start() -> subprocess.Popen[bytes]:
    # A session of its own: the server handles Ctrl-C in the terminal, and finishes pictures in flight.
    return subprocess.Popen(
        [sys.executable, "-m", "inkdigits.web.decoder_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def _exchange(process: subprocess.Popen[bytes], data: bytes, max_pixels: int) -> GrayImage | str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(ASK.pack(len(data), max_pixels))
    process.stdin.write(data)
    process.stdin.flush()
    status, height, width = ANSWER.unpack(_exactly(process.stdout, ANSWER.size))
    if status == BROKEN:
        return _exactly(process.stdout, height).decode()
    return np.frombuffer(_exactly(process.stdout, height * width), np.uint8).reshape(height, width)


def _exactly(source: IO[bytes], n_bytes: int) -> bytes:
    data = source.read(n_bytes)
    if len(data) != n_bytes:
        raise EOFError
    return data


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue  # what was still to be written to a process that is gone
