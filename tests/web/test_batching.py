"""Queues: shared calls, full ones, errors, slow pictures beside fast ones."""

import asyncio
import concurrent.futures
import threading
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")

from fake_reader import FakeReader
from starlette.testclient import TestClient
from web.http import drawing, encoded

from inkdigits.reading.reader import Reader
from inkdigits.reading.results import PageReading
from inkdigits.web import Settings, create_app
from inkdigits.web.batching import Batcher
from inkdigits.web.errors import RequestError


def test_requests_of_one_moment_share_a_call() -> None:
    sizes: list[int] = []
    go_on = threading.Event()

    def work(jobs: Any) -> list[int]:
        assert go_on.wait(60)
        return [job * 2 for job in jobs]

    batcher: Batcher[int, int] = Batcher("jobs", work, 1_000, 16, 0.0, sizes.append)

    async def ask() -> list[int]:
        tasks = [asyncio.create_task(batcher.ask(i)) for i in range(50)]
        await asyncio.sleep(0)  # each of them has put its job into the queue
        go_on.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(ask()) == [2 * i for i in range(50)]
    assert sum(sizes) == 50
    assert max(sizes) == 16
    assert len(sizes) <= 5  # the first may be alone
    batcher.close()


def test_a_full_queue_rejects_and_does_not_grow() -> None:
    go_on = threading.Event()

    def work(jobs: Any) -> list[int]:
        assert go_on.wait(60)
        return list(jobs)

    batcher: Batcher[int, int] = Batcher("jobs", work, 4, 1, 0.0, lambda n: None)

    async def ask() -> list[Any]:
        tasks = [asyncio.create_task(batcher.ask(i)) for i in range(20)]
        await asyncio.sleep(0)  # each of them has its place in the queue, or none
        go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(ask())
    rejected = [answer for answer in answers if isinstance(answer, RequestError)]
    assert {answer.status for answer in rejected} == {503}
    assert 4 <= len(answers) - len(rejected) <= 5
    batcher.close()


def test_an_error_in_one_job_is_its_own_and_the_thread_lives_on() -> None:
    def work(jobs: Any) -> list[Any]:
        if "crash" in jobs:
            raise RuntimeError("crash")
        return [ValueError("bad") if job == "bad" else job for job in jobs]

    batcher: Batcher[str, str] = Batcher("jobs", work, 10, 10, 5.0, lambda n: None)

    async def ask(*jobs: str) -> list[Any]:
        return await asyncio.gather(*(batcher.ask(job) for job in jobs), return_exceptions=True)

    good, bad = asyncio.run(ask("good", "bad"))
    assert good == "good"
    assert isinstance(bad, ValueError)
    assert all(isinstance(answer, RuntimeError) for answer in asyncio.run(ask("good", "crash")))
    assert asyncio.run(ask("good")) == ["good"]
    batcher.close()


def test_a_slow_page_does_not_hold_up_digits(settings: Settings) -> None:
    page_begun, digit_answered = threading.Event(), threading.Event()

    class Slow(FakeReader):
        def read_many(self, images: Any, layout: str) -> list[PageReading]:
            if layout == "page":
                page_begun.set()
                assert digit_answered.wait(60)
            return super().read_many(images, layout)

    with (
        TestClient(create_app(Slow(), settings)) as client,  # type: ignore[arg-type]
        concurrent.futures.ThreadPoolExecutor(1) as thread,
    ):
        page = thread.submit(client.post, "/v1/read", content=encoded(drawing()))
        assert page_begun.wait(60)
        assert client.post("/v1/read?layout=digit", content=encoded(drawing())).status_code == 200
        assert not page.done()
        digit_answered.set()
        assert page.result().status_code == 200


def test_batches_answer_as_single_pictures_do(reader: Reader) -> None:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(9):
        image = drawing()
        cv2.circle(image, tuple(int(v) for v in rng.integers(120, 180, 2)), int(rng.integers(10, 30)), 0, 5)
        images.append(image)
    for layout in ("digit", "number", "page"):
        together = [page.to_dict() for page in reader.read_many(images, layout)]
        assert together == [reader.read(image, layout).to_dict() for image in images]
