"""What the API answers, as models for its OpenAPI document; the answers themselves are `to_dict()` of the readings."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Digit = Annotated[int, Field(ge=0, le=9)]
Png = Annotated[str, Field(description="a PNG file in base64")]


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ItemAnswer(_Schema):
    """One digit."""

    digit: Digit
    confidence: Probability
    accepted: Annotated[bool, Field(description="false where it is doubtful, or no digit")]
    box: Annotated[list[int], Field(min_length=4, max_length=4, description="x, y, width, height in pixels")]
    alternatives: Annotated[list[tuple[Digit, Probability]], Field(description="other digits it may be")]
    framed: Annotated[Png, Field(default="", description="what the net saw, 28 x 28, as PNG in base64; on request")]


class LineAnswer(_Schema):
    """One row: a number, or several."""

    text: Annotated[str, Field(description="digits, separators and sign")]
    digits: str
    confidence: Annotated[Probability, Field(description="that all digits are right")]
    accepted: Annotated[bool, Field(default=True)]
    items: list[ItemAnswer]


class PictureAnswer(_Schema):
    """One picture, as `inkdigits read --json` answers it."""

    image: Annotated[str, Field(description="its name, - where it has none")]
    width: int
    height: int
    lines: list[LineAnswer]


class PictureError(_Schema):
    """A picture among many that cannot be read."""

    image: str
    error: str


class ManyAnswer(_Schema):
    """Many pictures, in the order in which they were sent."""

    pictures: list[PictureAnswer | PictureError]


class ExplanationAnswer(_Schema):
    """Why a digit was read so."""

    digit: Annotated[Digit, Field(description="the one that is explained")]
    confidence: Probability
    accepted: bool
    probabilities: Annotated[list[Probability], Field(min_length=10, max_length=10)]
    importance: Annotated[
        list[list[Annotated[float, Field(ge=-1, le=1)]]],
        Field(description="28 x 28: the loss of probability where the ink is covered; below 0 a gain"),
    ]
    map: Annotated[Png, Field(description="the same as a picture: orange speaks for the digit, blue against it")]


class CorrectionAnswer(_Schema):
    """A correction that is on the disk."""

    id: int
    truth: Digit
    answer: Annotated[Digit | None, Field(description="what was read there")]
    box: Annotated[list[int], Field(min_length=4, max_length=4)]


class StatusAnswer(_Schema):
    """A state in one word."""

    status: str


class ErrorDetail(_Schema):
    """A word for programs and a line for people."""

    code: str
    message: str


class ErrorAnswer(_Schema):
    """The one shape of every error."""

    error: ErrorDetail


BINARY = {"schema": {"type": "string", "format": "binary"}}
PICTURE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff")
LAYOUT = {
    "name": "layout",
    "in": "query",
    "schema": {"type": "string", "enum": ["digit", "number", "page"], "default": "page"},
    "description": "the whole picture is one digit; one number; or any number of rows",
}
FRAMED = {
    "name": "framed",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "with each digit, the 28 x 28 picture that the net saw",
}
BOX = {
    "name": "box",
    "in": "query",
    "schema": {"type": "string", "pattern": "^[0-9]{1,6}(,[0-9]{1,6}){3}$"},
    "description": "x,y,width,height of the digit in pixels, as answered; without it the whole picture",
}


def digit_parameter(name: str, description: str, required: bool = False) -> dict[str, Any]:
    """Return a query parameter that is one digit."""
    return {
        "name": name,
        "in": "query",
        "required": required,
        "schema": {"type": "integer", "minimum": 0, "maximum": 9},
        "description": description,
    }


def picture_body(many: bool = False) -> dict[str, Any]:
    """Return the OpenAPI text of a body that is one picture, or a form with pictures."""
    one = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": one} if many else one
    name = "images" if many else "image"
    form = {"schema": {"type": "object", "properties": {name: files}, "required": [name]}}
    raw = {} if many else dict.fromkeys((*PICTURE_TYPES, "application/octet-stream"), BINARY)
    return {"required": True, "content": raw | {"multipart/form-data": form}}
