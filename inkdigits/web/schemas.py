"""The API's parameters and answers as models: parameters are checked by them, and both make the OpenAPI document.

The answers themselves are `to_dict()` of the readings.
"""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from inkdigits.arrays import Box

Probability = Annotated[float, Field(ge=0, le=1)]
Digit = Annotated[int, Field(ge=0, le=9)]
Png = Annotated[str, Field(description="a PNG file in base64")]
# A digit at the edge of a picture may begin outside of it.
BOX_PATTERN = "^-?[0-9]{1,6},-?[0-9]{1,6}(,[0-9]{1,6}){2}$"


def _box(value: object) -> Box:
    """Return the box that "x,y,width,height" names, in pixels."""
    if not re.fullmatch(BOX_PATTERN, str(value)):
        raise ValueError("not four whole numbers")
    x, y, width, height = map(int, str(value).split(","))
    if width == 0 or height == 0:
        raise ValueError("empty")
    return x, y, width, height


BoxText = Annotated[Box, BeforeValidator(_box), WithJsonSchema({"type": "string", "pattern": BOX_PATTERN})]


class Parameters(BaseModel):
    """What a request may say in its query or in its form; unknown names are passed over."""

    model_config = ConfigDict(extra="ignore")
    # What each must be, for error messages.
    rules: ClassVar[dict[str, str]] = {
        "layout": "layout is digit, number or page",
        "framed": "framed is true or false",
        "digit": "digit is one digit, 0 to 9",
        "truth": "truth is one digit, 0 to 9, or none where it is not a digit",
        "answer": "answer is one digit, 0 to 9",
        "box": "box is x,y,width,height: four whole numbers of pixels, not empty",
    }

    @classmethod
    def problem(cls, name: str, is_missing: bool) -> tuple[str, str]:
        """Return the code and the message of an error in one parameter."""
        kind = "no" if is_missing else "unknown" if name == "layout" else "bad"
        return f"{kind}_{name}", cls.rules[name]

    @classmethod
    def document(cls) -> list[dict[str, Any]]:
        """Return the parameters as OpenAPI describes those of a query."""
        schema = cls.model_json_schema()
        described = []
        for name, field in schema["properties"].items():
            required = name in schema.get("required", ())
            text = field.pop("description", "")
            # None stands for a parameter that is left out; no text says it.
            kinds = [kind for kind in field.pop("anyOf", [field]) if kind.get("type") != "null"]
            default = {"default": field["default"]} if field.get("default") is not None else {}
            kind = kinds[0] | default if len(kinds) == 1 else {"anyOf": kinds} | default
            kind = {key: value for key, value in kind.items() if key != "title"}
            described.append({"name": name, "in": "query", "required": required, "schema": kind, "description": text})
        return described


class LayoutParameters(Parameters):
    """How to look at the picture."""

    layout: Annotated[
        Literal["digit", "number", "page"],
        Field(description="the whole picture is one digit; one number; or any number of rows"),
    ] = "page"


class ReadParameters(LayoutParameters):
    """What `/v1/read` and `/v1/read-many` take."""

    framed: Annotated[bool, Field(description="with each digit, the 28 x 28 picture that the network saw")] = False


class ExplainParameters(Parameters):
    """What `/v1/explain` takes."""

    digit: Annotated[Digit | None, Field(description="the answer to explain; without it the most probable")] = None


class CorrectionParameters(LayoutParameters):
    """What `/v1/corrections` takes."""

    truth: Annotated[Digit | Literal["none"], Field(description="the right digit; none: it is not a digit")]
    answer: Annotated[Digit | None, Field(description="what was read; without it, what is read now")] = None
    box: Annotated[
        BoxText | None,
        Field(description="x,y,width,height of the digit in pixels, as answered; without it the whole picture"),
    ] = None


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")


BoxAnswer = Annotated[list[int], Field(min_length=4, max_length=4, description="x, y, width, height in pixels")]


class ItemAnswer(_Schema):
    """One digit."""

    digit: Digit
    confidence: Probability
    accepted: Annotated[bool, Field(description="false: rejected, or not a digit")]
    box: BoxAnswer
    alternatives: Annotated[list[tuple[Digit, Probability]], Field(description="other digits it may be")]
    framed: Annotated[Png, Field(default="", description="what the network saw, 28 x 28, as PNG in base64; on request")]


class MarkAnswer(_Schema):
    """A separator or sign of a number."""

    text: Annotated[str, Field(description=". for a point or comma, - for a minus or hyphen")]
    box: BoxAnswer


class NumberAnswer(_Schema):
    """One of the numbers of a row."""

    text: Annotated[str, Field(description="digits, separators and signs")]
    box: BoxAnswer


class LeftOutAnswer(_Schema):
    """Ink of a digit's size that is part of no digit in the answer."""

    box: BoxAnswer
    reason: Annotated[Literal["text", "mark", "edge"], Field(description="what it looks like")]


class LineAnswer(_Schema):
    """One row: a number, or several."""

    text: Annotated[
        str,
        Field(
            description="digits, separators and signs; a space where another number begins, "
            "`_` where a sign or letter that is not read stands close between two digits"
        ),
    ]
    digits: Annotated[str, Field(description="the digits alone")]
    confidence: Annotated[Probability, Field(description="that all of the text is right and no digit was left out")]
    accepted: Annotated[bool, Field(description="whether every digit is accepted")]
    items: Annotated[list[ItemAnswer], Field(description="the digits from left to right")]
    marks: Annotated[list[MarkAnswer], Field(description="separators and signs")]
    numbers: Annotated[list[NumberAnswer], Field(description="the numbers from left to right, one or more")]


class PictureAnswer(_Schema):
    """One picture, as `inkdigits read --json` answers it."""

    image: Annotated[str, Field(description="its name, - where it has none")]
    width: int
    height: int
    lines: list[LineAnswer]
    left_out: Annotated[list[LeftOutAnswer], Field(description="ink that is part of no digit")]


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

    id: Annotated[int, Field(description="its number, to take it back")]
    truth: Annotated[Digit | None, Field(description="null where it is not a digit")]
    answer: Annotated[Digit | None, Field(description="what was read there")]
    box: Annotated[list[int], Field(min_length=4, max_length=4)]


class RemovedAnswer(_Schema):
    """A correction that was taken back."""

    id: int


class HandAnswer(_Schema):
    """A hand: its corrections, and what was learned of it."""

    hand: Annotated[str | None, Field(description="its name; null where a model of one's own answers")]
    corrections: Annotated[int, Field(description="digits that people corrected")]
    needed: Annotated[int, Field(description="how many it takes to learn")]
    can_learn: bool
    learned: Annotated[dict[str, Any] | None, Field(description="n, errors before and after, date; null for nothing")]


class LearnedAnswer(_Schema):
    """What came of learning a hand; the old networks stay where it is not kept."""

    hand: str
    kept: bool
    summary: Annotated[str, Field(description="what changed, or why it is not kept")]
    n: Annotated[int, Field(description="digits that it was learned from")]
    n_contradicting: Annotated[int, Field(description="digits that contradict each other, and were left out")]
    n_set_aside: Annotated[int, Field(description="digits not learned: the hand's others make their labels unlikely")]
    digits: Annotated[dict[str, Any], Field(description="errors before and after, on held-out digits")]


class StatusAnswer(_Schema):
    """A state in one word."""

    status: str


class ErrorDetail(_Schema):
    """A word for programs and a line for people."""

    code: str
    message: str


class ErrorAnswer(_Schema):
    """Every error."""

    error: ErrorDetail


BINARY = {"schema": {"type": "string", "format": "binary"}}
PICTURE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff")


def picture_body(many: bool = False) -> dict[str, Any]:
    """Return the OpenAPI text of a body that is one picture, or a form with pictures."""
    one = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": one} if many else one
    name = "images" if many else "image"
    form = {"schema": {"type": "object", "properties": {name: files}, "required": [name]}}
    raw = {} if many else dict.fromkeys((*PICTURE_TYPES, "application/octet-stream"), BINARY)
    return {"required": True, "content": raw | {"multipart/form-data": form}}
