"""Pictures to send and answers to check."""

from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")

from starlette.testclient import TestClient

from inkdigits.web import Settings, create_app


def client_of(reader: Any, settings: Settings) -> TestClient:
    return TestClient(create_app(reader, settings))


def drawing(width: int = 300, height: int = 200) -> np.ndarray:
    """A 7 in the upper left corner."""
    image = np.full((height, width), 255, np.uint8)
    points = np.array([[40, 30], [80, 30], [60, 90]], np.int32)
    cv2.polylines(image, [points], False, 0, 5, cv2.LINE_AA)
    return image


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def error_of(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    assert body["error"]["message"]
    return str(body["error"]["code"])
