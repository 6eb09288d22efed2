"""The API's endpoints: parse, ask the engine, answer JSON."""

import asyncio
import base64
import hashlib
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from inkdigits.arrays import Box, DigitImage
from inkdigits.data.corrections import Corrections
from inkdigits.errors import ImageError
from inkdigits.reading.explain import draw_map, occlusion_map
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Item, PageReading
from inkdigits.web.engine import Engine
from inkdigits.web.errors import RequestError
from inkdigits.web.formats import as_png
from inkdigits.web.hand import Hand
from inkdigits.web.metrics import Metrics
from inkdigits.web.requests import BodyReader
from inkdigits.web.schemas import CorrectionParameters, ExplainParameters, ReadParameters
from inkdigits.web.settings import Settings

MAX_NAME = 255
EXPLANATIONS_AT_ONCE = 1
MAX_WAITING_EXPLANATIONS = 16
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
PICTURES_AT_ONCE = 3  # of one request: a single client must not fill the queues


class Api:
    """The endpoints and what they share.

    Args:
        reader: answers.
        settings: the limits.
        metrics: count each answer.
        corrections: keeps what people correct.
    """

    def __init__(self, reader: Reader, settings: Settings, metrics: Metrics, corrections: Corrections) -> None:
        self._reader = reader
        self._metrics = metrics
        self._corrections = corrections
        self._explaining = asyncio.Semaphore(EXPLANATIONS_AT_ONCE)
        self._n_explaining = 0
        self.bodies = BodyReader(settings)
        self.engine = Engine(reader, settings, metrics.count_batch)
        self.model = _fingerprint(reader.card)
        self.hand = Hand(reader, corrections, self._use)
        self.is_closing = False

    def _use(self, reader: Reader) -> None:
        """Answer with another reader from now on."""
        self._reader = self.engine.reader = reader
        self.model = _fingerprint(reader.card)

    async def read(self, request: Request) -> Response:
        """`POST /v1/read`: one picture in, its reading out."""
        async with self.bodies.upload(request) as upload:
            asked = upload.parameters(ReadParameters)
            name, data = upload.picture()
            page = await self.engine.read(data, asked.layout)
        self._metrics.count_answer(page)
        return _json(_as_dict(name, page, asked.framed))

    async def read_many(self, request: Request) -> Response:
        """`POST /v1/read-many`: a form of pictures in, their readings in the same order out."""
        async with self.bodies.upload(request) as upload:
            asked = upload.parameters(ReadParameters)
            if not upload.pictures or upload.body_is_empty:
                raise RequestError(400, "empty", "the form holds no picture")
            turns = asyncio.Semaphore(PICTURES_AT_ONCE)
            answers = await asyncio.gather(
                *(self._read_one_of_many(name, data, asked, turns) for name, data in upload.pictures)
            )
        return _json({"pictures": answers})

    async def _read_one_of_many(
        self, name: str, data: bytes, asked: ReadParameters, turns: asyncio.Semaphore
    ) -> dict[str, Any]:
        async with turns:
            try:
                page = await self.engine.read(data, asked.layout)
            except (ImageError, RequestError) as error:
                if isinstance(error, RequestError) and error.status == 503:
                    raise
                return {"image": name[:MAX_NAME], "error": str(error)}
        self._metrics.count_answer(page)
        return _as_dict(name, page, asked.framed)

    async def explain(self, request: Request) -> Response:
        """`POST /v1/explain`: a framed digit in, its ten bars and the map of the ink that mattered out."""
        async with self.bodies.upload(request) as upload:
            digit = upload.parameters(ExplainParameters).digit
            framed = await self.engine.decode(upload.picture()[1])
        if framed.shape != (28, 28):
            raise RequestError(422, "not_framed", "send the 28 x 28 picture which /v1/read?framed=true answered")
        if self._n_explaining >= MAX_WAITING_EXPLANATIONS:
            raise RequestError(503, "busy", "too many explanations at the moment", {"Retry-After": "1"})
        self._n_explaining += 1
        try:
            async with self._explaining:
                return _json(await asyncio.to_thread(_explain, self._reader, framed, digit))
        finally:
            self._n_explaining -= 1

    async def correct(self, request: Request) -> Response:
        """`POST /v1/corrections`: a picture, the box of a digit in it and the truth in; on the disk when answered."""
        async with self.bodies.upload(request) as upload:
            asked = upload.parameters(CorrectionParameters)
            truth = None if asked.truth == "none" else asked.truth
            _, data = upload.picture()
            page = await self.engine.read(data, asked.layout)
            item = _item_at(page, asked.box)
            box = item.box if item else asked.box or (0, 0, page.width, page.height)
            framed = item.framed if item else await self._framed_crop(data, box)
            answer = item.digit if item and asked.answer is None else asked.answer
            confidence = item.confidence if item and item.digit == answer else None
            number = await asyncio.to_thread(
                self._corrections.add, data, box, answer, confidence, truth, self.model, framed, self.hand.name
            )
        self._metrics.count_correction()
        return _json({"id": number, "truth": truth, "answer": answer, "box": list(box)})

    async def take_back(self, number: int) -> Response:
        """`DELETE /v1/corrections/{number}`: forget one correction."""
        if not await asyncio.to_thread(self._corrections.remove, number):
            raise RequestError(404, "no_correction", f"there is no correction {number}")
        return _json({"id": number})

    async def _framed_crop(self, data: bytes, box: Box) -> DigitImage:
        """Frame a place in which nothing was read."""
        image = await self.engine.decode(data)
        x, y, width, height = box
        crop = image[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
        if crop.size == 0:
            raise RequestError(422, "bad_box", "box lies outside the picture")
        return await asyncio.to_thread(self._reader.frame, crop)

    async def card(self, request: Request) -> Response:
        """`GET /v1/model`: the network's card."""
        return _json(self._reader.card | {"fingerprint": self.model})

    async def health(self, request: Request) -> Response:
        """`GET /health`: the process answers."""
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """`GET /ready`: the next picture would be read."""
        if self.is_closing or self.engine.is_full:
            status = "stopping" if self.is_closing else "busy"
            raise RequestError(503, status, f"the server is {status}", {"Retry-After": "1"})
        return _json({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`: Prometheus's text."""
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def close(self) -> None:
        """Finish what is in flight and let go of threads, processes and the file."""
        self.engine.close()
        self._corrections.close()


def _as_dict(name: str, page: PageReading, framed: bool) -> dict[str, Any]:
    answer = {"image": name[:MAX_NAME]} | page.to_dict()
    if framed:
        for line, row in zip(page.lines, answer["lines"], strict=True):
            for item, fields in zip(line.items, row["items"], strict=True):
                fields["framed"] = _base64(as_png(item.framed))
    return answer


def _item_at(page: PageReading, box: Box | None) -> Item | None:
    """Return the digit that was read at a box, or the only one there is."""
    items = [item for line in page.lines for item in line.items]
    if box is None:
        return items[0] if len(items) == 1 else None
    return next((item for item in items if item.box == box), None)


def _explain(reader: Reader, framed: DigitImage, digit: int | None) -> dict[str, Any]:
    answer = reader.classify(framed[None])
    explained = int(answer.labels[0]) if digit is None else digit
    importance = occlusion_map(reader, framed, explained)
    return {
        "digit": explained,
        "confidence": float(answer.probabilities[0, explained]),
        "accepted": bool(answer.accepted[0]),
        "probabilities": answer.probabilities[0].tolist(),
        "importance": importance.round(4).tolist(),
        "map": _base64(as_png(draw_map(importance, framed))),
    }


def _fingerprint(card: dict[str, Any]) -> str:
    text = json.dumps(card, sort_keys=True, default=str)
    return f"{card.get('name', 'model')}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _json(answer: dict[str, Any]) -> Response:
    return Response(_ENCODE(answer), media_type="application/json")
