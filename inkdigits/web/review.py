"""The review page's endpoints: the next fields of a job, what a person keys, pages to align by four clicks."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import cv2
import numpy as np
from fastapi import APIRouter
from fastapi import Path as PathParameter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from inkdigits.forms.audit import Standing
from inkdigits.forms.groups import CUTS, Screen
from inkdigits.forms.job import LONGEST_NAME, Job, Progress, Task
from inkdigits.forms.keying import Outcome
from inkdigits.forms.read import FormReader
from inkdigits.forms.template import first_problem, load_picture
from inkdigits.reading.reader import Reader
from inkdigits.web.errors import RequestError
from inkdigits.web.formats import Jpeg, Png
from inkdigits.web.requests import BodyReader

AHEAD = 3  # tasks that the page holds: their pictures are there before they are needed
CLOSE, WIDE = 0.12, 2.0  # of a field's height, how much around it is shown
LARGEST_ID = 2**63 - 1

M = TypeVar("M", bound=BaseModel)
Number = Annotated[int, PathParameter(ge=1, le=LARGEST_ID)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Point = Annotated[list[Annotated[float, Field(ge=-1e5, le=1e5)]], Field(min_length=2, max_length=2)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Reviewer(_Strict):
    """Who asks."""

    reviewer: Name


class Keyed(Reviewer):
    """What a person keyed for a field, "" where nothing is to be read there."""

    field: Annotated[int, Field(ge=1, le=LARGEST_ID)]
    text: Annotated[str, Field(max_length=40)]


class Postponed(Reviewer):
    """A field to come back to at the end."""

    field: Annotated[int, Field(ge=1, le=LARGEST_ID)]


class Aligned(_Strict):
    """Where the four places of the template lie in a page's picture; none where it is not this form."""

    number: Annotated[int, Field(ge=0, le=1000)] = 0
    anchors: Annotated[list[Point], Field(min_length=4, max_length=4)] | None = None


class Looked(Reviewer):
    """Which cut-outs of a group screen are another digit: by their positions from 0 on, that digit, "" for none."""

    marked: dict[Annotated[int, Field(ge=0, lt=CUTS)], Annotated[str, Field(pattern="^[0-9]?$")]] = Field(
        default={}, max_length=CUTS
    )


class ReviewAnswer(BaseModel):
    """What is next; after a keyed value what became of it, after an undo the field that is open again."""

    tasks: list[Task]
    progress: Progress
    outcome: Outcome | None = None
    undone: Task | None = None


class ScreensAnswer(ReviewAnswer):
    """The group screens to look through, the first now; fields to key come before them."""

    screens: list[Screen]


class UnalignedPage(BaseModel):
    """A rejected page."""

    page: int
    source: str
    problem: str


class PagesAnswer(BaseModel):
    """The rejected pages, and for each page of the form the places to click, x and y in its picture."""

    pages: list[UnalignedPage]
    anchors: list[list[list[float]]]


class Review:
    """The endpoints around one job.

    Args:
        job: the forms.
        reader: reads pages that are aligned by hand.
        bodies: reads requests within limits.
    """

    def __init__(self, job: Job, reader: Reader, bodies: BodyReader) -> None:
        self._job = job
        self._reader = reader
        self._bodies = bodies
        self._form_reader: FormReader | None = None
        self._aligning = asyncio.Lock()

    async def next(self, request: Request) -> Response:
        """`POST /v1/review/next`: the next fields for a reviewer."""
        asked = await self._body(request, Reviewer)
        return await _run(lambda: self._state(asked.reviewer))

    async def key(self, request: Request) -> Response:
        """`POST /v1/review/keys`: a keyed value."""
        asked = await self._body(request, Keyed)

        def keyed() -> dict[str, Any]:
            outcome = self._job.key(asked.field, asked.text, asked.reviewer)
            return self._state(asked.reviewer) | {"outcome": asdict(outcome)}

        return await _run(keyed)

    async def postpone(self, request: Request) -> Response:
        """`POST /v1/review/later`: this field last."""
        asked = await self._body(request, Postponed)

        def postponed() -> dict[str, Any]:
            self._job.postpone(asked.field)
            return self._state(asked.reviewer)

        return await _run(postponed)

    async def undo(self, request: Request) -> Response:
        """`POST /v1/review/undo`: take a reviewer's last value back."""
        asked = await self._body(request, Reviewer)

        def undone() -> dict[str, Any]:
            task = self._job.undo(asked.reviewer)
            return self._state(asked.reviewer) | {"undone": asdict(task) if task else None}

        return await _run(undone)

    async def screens(self, request: Request) -> Response:
        """`POST /v1/review/screens`: the next group screens."""
        asked = await self._body(request, Reviewer)
        return await _run(lambda: self._with_screens(asked.reviewer))

    async def look(self, request: Request, number: Number) -> Response:
        """`POST /v1/review/screens/N`: accept a group screen but for what is marked."""
        asked = await self._body(request, Looked)

        def looked() -> dict[str, Any]:
            self._job.accept_screen(asked.reviewer, number, asked.marked)
            return self._with_screens(asked.reviewer)

        return await _run(looked)

    async def screen(self, number: Number) -> Response:
        """`GET /v1/review/screens/N`: the cut-outs of a group screen."""
        return Png(await asyncio.to_thread(self._job.screen_picture, number))

    async def field(self, number: Number, wide: bool = False) -> Response:
        """`GET /v1/review/fields/N`: its picture."""
        content = await asyncio.to_thread(self._job.cut_out, number, WIDE if wide else CLOSE)
        return Png(content)

    async def pages(self) -> Response:
        """`GET /v1/review/pages`: those that were rejected and have a picture."""

        def listed() -> dict[str, Any]:
            pages = [dict(zip(("page", "source", "problem"), row, strict=True)) for row in self._job.unaligned_pages()]
            n = len(self._job.form.pages)
            return {"pages": pages, "anchors": [self._readers().anchors(i).tolist() for i in range(n)] if pages else []}

        return await _run(listed)

    async def page(self, number: Number) -> Response:
        """`GET /v1/review/pages/N`: a page's picture."""
        return Jpeg(await asyncio.to_thread(self._job.page_picture, number))

    async def promise(self) -> Response:
        """`GET /v1/review/promise`: what is promised of accepted fields, and whether it still holds."""
        return await _run(lambda: asdict(self._job.standing()))

    async def template(self, number: Annotated[int, PathParameter(ge=0, le=1000)]) -> Response:
        """`GET /v1/review/template/N`: a page of the blank form."""
        if number >= len(self._job.form.pages):
            raise RequestError(404, "not_found", f"the form has {len(self._job.form.pages)} pages")
        picture = await asyncio.to_thread(load_picture, self._job.form, self._job.folder / "form", number)
        return Png(bytes(cv2.imencode(".png", picture)[1].tobytes()))

    async def align(self, request: Request, number: Number) -> Response:
        """`POST /v1/review/pages/N`: four clicks, or "not this form"."""
        asked = await self._body(request, Aligned)
        if asked.number >= len(self._job.form.pages):
            raise RequestError(422, "bad_number", f"the form has {len(self._job.form.pages)} pages")
        async with self._aligning:
            if asked.anchors is None:
                await asyncio.to_thread(self._job.discard, number)
            else:
                points = np.array(asked.anchors, float)
                await asyncio.to_thread(lambda: self._job.align(self._readers(), number, asked.number, points))
        return await self.pages()

    def _readers(self) -> FormReader:
        if self._form_reader is None:
            self._form_reader = FormReader(self._job.folder / "form", self._reader)
        return self._form_reader

    def _state(self, reviewer: str) -> dict[str, Any]:
        tasks, progress = self._job.tasks(reviewer, AHEAD), self._job.progress()
        return {"tasks": [asdict(task) for task in tasks], "progress": asdict(progress)}

    def _with_screens(self, reviewer: str) -> dict[str, Any]:
        return self._state(reviewer) | {"screens": [asdict(each) for each in self._job.screens(reviewer)]}

    async def _body(self, request: Request, model: type[M]) -> M:
        async with self._bodies.upload(request) as upload:
            try:
                return model.model_validate_json(upload.picture()[1] or b"{}")
            except ValidationError as error:
                raise RequestError(422, "bad_body", first_problem(error)) from None


async def _run(work: Callable[[], dict[str, Any]]) -> Response:
    """Answer what work in a thread returns: SQLite waits for the disk."""
    return JSONResponse(await asyncio.to_thread(work))


def routes(review: Review) -> APIRouter:
    """Return the endpoints with their documents."""
    router = APIRouter(tags=["review"])

    def add(method: str, path: str, endpoint: Callable[..., Awaitable[Response]], summary: str, **more: Any) -> None:
        answer, body = more.get("answer"), more.get("body")
        documented: dict[str, Any] = {"model": answer} if answer else {"content": {more["kind"].media_type: {}}}
        responses: dict[int | str, dict[str, Any]] = {200: documented}
        extra = {"requestBody": {"content": {"application/json": {"schema": body.model_json_schema()}}}} if body else {}
        router.add_api_route(
            f"/v1/review/{path}", endpoint, methods=[method], summary=summary, responses=responses,
            response_model=None, openapi_extra=extra,
        )  # fmt: skip

    add("POST", "next", review.next, "The next fields to key", answer=ReviewAnswer, body=Reviewer)
    add("POST", "keys", review.key, "Key a field", answer=ReviewAnswer, body=Keyed)
    add("POST", "later", review.postpone, "Put a field last", answer=ReviewAnswer, body=Postponed)
    add("POST", "undo", review.undo, "Take the last value back", answer=ReviewAnswer, body=Reviewer)
    add("GET", "fields/{number}", review.field, "A field's picture", kind=Png)
    add("POST", "screens", review.screens, "The next group screens", answer=ScreensAnswer, body=Reviewer)
    add("POST", "screens/{number}", review.look, "Accept a group screen", answer=ScreensAnswer, body=Looked)
    add("GET", "screens/{number}", review.screen, "The cut-outs of a group screen", kind=Png)
    add("GET", "promise", review.promise, "What is promised of accepted fields", answer=Standing)
    add("GET", "pages", review.pages, "The rejected pages", answer=PagesAnswer)
    add("GET", "pages/{number}", review.page, "A page's picture", kind=Jpeg)
    add(
        "POST",
        "pages/{number}",
        review.align,
        "Align a page with the form, or discard it",
        answer=PagesAnswer,
        body=Aligned,
    )
    add("GET", "template/{number}", review.template, "A page of the blank form", kind=Png)
    return router
