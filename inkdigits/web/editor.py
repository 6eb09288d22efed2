"""The template editor's endpoints: the forms of a folder, their pages, proposals for fields, and saving."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import cv2
from fastapi import APIRouter
from fastapi import Path as PathParameter
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from inkdigits.errors import FormError
from inkdigits.forms.blank import as_field, proposals
from inkdigits.forms.template import Form, FormField, first_problem, load_form, load_picture, save_form
from inkdigits.web.errors import RequestError
from inkdigits.web.formats import Png
from inkdigits.web.requests import BodyReader

# Names of folders: nothing that leaves the folder of forms.
Name = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,100}$")]


class Draft(BaseModel):
    """What is saved of a form: all but its pages."""

    title: str = ""
    fields: list[dict[str, Any]]
    rules: list[str] = []


class FormInList(BaseModel):
    """A form of the folder; `problem` says why it cannot be edited, "" where it can."""

    name: str
    title: str
    pages: int
    fields: int
    problem: str


class FormsAnswer(BaseModel):
    """The forms of the folder."""

    forms: list[FormInList]


class SavedAnswer(BaseModel):
    """The form is saved."""

    saved: bool


class EditAnswer(BaseModel):
    """A form, and fields that its pages seem to have."""

    form: Form
    proposals: list[FormField]


class Editor:
    """The endpoints around a folder of forms.

    Args:
        folder: each of its folders with a form.json is a form.
        bodies: reads requests within limits.
    """

    def __init__(self, folder: Path, bodies: BodyReader) -> None:
        self._folder = folder
        self._bodies = bodies
        self._saving = asyncio.Lock()

    async def forms(self) -> Response:
        """`GET /v1/forms`: the folder's forms."""
        return JSONResponse({"forms": await asyncio.to_thread(self._list)})

    async def form(self, name: Name) -> Response:
        """`GET /v1/forms/NAME`: a form to edit."""
        return JSONResponse(await asyncio.to_thread(self._open, name))

    async def save(self, request: Request, name: Name) -> Response:
        """`PUT /v1/forms/NAME`: its fields and rules; its pages stay."""
        async with self._bodies.upload(request) as upload:
            body = upload.picture()[1]
        async with self._saving:
            await asyncio.to_thread(self._save, name, body)
        return JSONResponse({"saved": True})

    async def page(self, name: Name, number: Annotated[int, PathParameter(ge=0, le=1000)]) -> Response:
        """`GET /v1/forms/NAME/pages/N`: a page's picture."""
        return Png(await asyncio.to_thread(self._picture, name, number))

    def _list(self) -> list[dict[str, Any]]:
        found = []
        for file in sorted(self._folder.glob("*/form.json")):
            try:
                form = load_form(file)
                row = (file.parent.name, form.title, len(form.pages), len(form.fields), "")
            except FormError as error:
                row = (file.parent.name, "", 0, 0, str(error))
            found.append(dict(zip(("name", "title", "pages", "fields", "problem"), row, strict=True)))
        return found

    def _load(self, name: str) -> Form:
        if not (self._folder / name / "form.json").is_file():
            raise RequestError(404, "not_found", f"there is no form {name}; `inkdigits form new` begins one")
        return load_form(self._folder / name)

    def _open(self, name: str) -> dict[str, Any]:
        form = self._load(name)
        found = [
            as_field(proposal, f"field_{number + 1}_{place}", number)
            for number in range(len(form.pages))
            for place, proposal in enumerate(proposals(load_picture(form, self._folder / name, number)), 1)
        ]
        dumped = [each.model_dump(mode="json", exclude_defaults=True) for each in found]
        return {"form": form.model_dump(mode="json", exclude_defaults=True), "proposals": dumped}

    def _save(self, name: str, body: bytes) -> None:
        pages = self._load(name).pages
        try:
            asked = Draft.model_validate_json(body)
            form = Form.model_validate({**asked.model_dump(), "pages": pages})
        except ValidationError as error:
            raise RequestError(422, "bad_form_data", first_problem(error)) from None
        save_form(form, self._folder / name / "form.json")

    def _picture(self, name: str, number: int) -> bytes:
        form = self._load(name)
        if number >= len(form.pages):
            raise RequestError(404, "not_found", f"the form has {len(form.pages)} pages")
        return bytes(cv2.imencode(".png", load_picture(form, self._folder / name, number))[1].tobytes())


def routes(editor: Editor) -> APIRouter:
    """Return the endpoints with their documents."""
    router = APIRouter(tags=["forms"])
    body = {"requestBody": {"content": {"application/json": {"schema": Draft.model_json_schema()}}}}
    for method, path, endpoint, summary, answer, extra in (
        ("GET", "", editor.forms, "The forms", FormsAnswer, {}),
        ("GET", "/{name}", editor.form, "A form to edit", EditAnswer, {}),
        ("PUT", "/{name}", editor.save, "Save a form", SavedAnswer, body),
        ("GET", "/{name}/pages/{number}", editor.page, "A page's picture", None, {}),
    ):
        router.add_api_route(
            f"/v1/forms{path}", endpoint, methods=[method], summary=summary, response_model=None, openapi_extra=extra,
            responses={200: {"model": answer} if answer else {"content": {Png.media_type: {}}}},
        )  # fmt: skip
    return router
