"""Forms as a reader would answer them, made up."""

from hashlib import sha256

import numpy as np

from inkdigits.forms.fields import FieldReading
from inkdigits.forms.read import FormAnswer, PageAnswer
from inkdigits.forms.template import Form

FLAT = np.full((2339, 1654), 250, np.uint8)


def page_of(form: Form, source: str, values: dict[str, tuple[str, float]], blank: str = "") -> FormAnswer:
    """Return a form whose fields hold these texts, read with these confidences, and elsewhere nothing."""
    readings = []
    for part in form.parts():
        text, confidence = values.get(part.name, (blank, 1.0))
        readings.append(FieldReading(part.name, text, confidence, confidence >= 0.95, "", part.box))
    page = PageAnswer(source, sha256(source.encode()).hexdigest(), 0, FLAT, readings)
    return FormAnswer([source], readings, "", [page])
