"""Forms as a reader would answer them, made up."""

from dataclasses import replace
from hashlib import sha256

import cv2
import numpy as np

from inkdigits.forms.fields import FieldReading, cells_of
from inkdigits.forms.read import FormAnswer, PageAnswer
from inkdigits.forms.template import Form

FLAT = np.full((2339, 1654), 250, np.uint8)


def with_digits(answer: FormAnswer, form: Form) -> FormAnswer:
    """Return a form on whose page is written what was read: each digit of a comb in its box."""
    (page,) = answer.pages
    flat = page.flat.copy()
    parts = {part.name: part for part in form.parts()}
    for reading in page.readings:
        boxes = cells_of(parts[reading.name]) if parts[reading.name].layout == "comb" else [reading.box]
        for text, (x, y, width, height) in zip(reading.text, boxes, strict=False):
            place = (x + width // 2 - height // 4, y + 3 * height // 4)
            cv2.putText(flat, text, place, cv2.FONT_HERSHEY_SIMPLEX, height / 45, 20, 4, cv2.LINE_AA)
    return replace(answer, pages=[replace(page, flat=flat)])


def page_of(form: Form, source: str, values: dict[str, tuple[str, float]], blank: str = "") -> FormAnswer:
    """Return a form whose fields hold these texts, read with these confidences, and elsewhere nothing."""
    readings = []
    for part in form.parts():
        text, confidence = values.get(part.name, (blank, 1.0))
        readings.append(FieldReading(part.name, text, confidence, confidence >= 0.95, "", part.box))
    page = PageAnswer(source, sha256(source.encode()).hexdigest(), 0, FLAT, readings)
    return FormAnswer([source], readings, "", [page])
