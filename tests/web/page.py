"""A browser, and what people do on the page."""

import base64
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
DESKTOP = {"width": 1180, "height": 760}
PHONE = {"width": 390, "height": 844}
WAIT_MS = 60_000

Stroke = list[tuple[float, float]]
SEVEN: list[Stroke] = [[(0, 4), (60, 0), (56, 12), (24, 100)]]
FOUR: list[Stroke] = [[(40, 0), (0, 60), (70, 60)], [(50, 30), (50, 110)]]
TWO: list[Stroke] = [[(0, 25), (15, 5), (35, 0), (55, 10), (58, 32), (40, 60), (0, 105), (65, 103)]]
# Not digits.
SCRIBBLE: list[Stroke] = [[(i * 9, (i % 2) * 90 + (i * 37) % 50) for i in range(24)]]
LETTER: list[Stroke] = [[(0, 110), (0, 0), (55, 5), (60, 40), (0, 55), (65, 110)]]
STAR: list[Stroke] = [[(0, 50), (110, 50)], [(55, 0), (55, 110)], [(10, 10), (100, 100)], [(100, 10), (10, 100)]]


# A picture of one pixel, as the server sends pictures.
PIXEL = base64.b64encode(cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()).decode()


def draw(page: Any, strokes: list[Stroke], left: float, top: float, scale: float = 1.0) -> None:
    box = page.locator("#pad").bounding_box()
    for stroke in strokes:
        points = [(box["x"] + left + scale * x, box["y"] + top + scale * y) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=5)
        page.mouse.up()


def expect_text(page: Any, text: str) -> None:
    """Wait until the answer to all that is drawn, without marks, is this."""
    page.wait_for_function(
        "text => document.querySelector('#lines').ariaBusy !== 'true'"
        " && [...document.querySelectorAll('#lines .digit')].map((d) => d.firstChild.data).join('') === text",
        arg=text,
    )


def expect_note(page: Any, word: str) -> None:
    page.wait_for_function("word => document.querySelector('#note').textContent.includes(word)", arg=word)


def sheet(path: Path) -> list[tuple[int, int, int, int]]:
    """Write a photograph-like sheet with 4 2 over 7; return the digits' boxes."""
    light = np.linspace(150, 235, 900)[None, :] * np.ones((600, 1))
    image = light.astype(np.uint8)
    boxes = []
    for strokes, x, y in ((FOUR, 200, 80), (TWO, 420, 85), (SEVEN, 300, 350)):
        points = [np.array(stroke) * 1.4 + (x, y) for stroke in strokes]
        for line in points:
            cv2.polylines(image, [np.rint(line).astype(np.int32)], False, 40, 9, cv2.LINE_AA)
        every = np.concatenate(points)
        low, high = every.min(axis=0) - 4, every.max(axis=0) + 4
        boxes.append((*low.astype(int).tolist(), *(high - low).astype(int).tolist()))
    cv2.imwrite(str(path), cv2.GaussianBlur(image, (0, 0), 1.2))
    return boxes


def overlap(a: Any, b: Any) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(0, width) * max(0, height)
    return float(both / (a[2] * a[3] + b[2] * b[3] - both))


def hand_over(page: Any, way: str, *paths: Path) -> None:
    """Drop files on the page, or paste them."""
    page.evaluate(
        """([files, way]) => {
            const data = new DataTransfer();
            for (const [name, bytes] of files) {
                data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
            }
            const event = way === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true })
                                         : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
            document.querySelector("#stage").dispatchEvent(event);
        }""",
        [[[path.name, list(path.read_bytes())] for path in paths], way],
    )


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium, or set CHROME")


def violations(page: Any, axe: str) -> list[str]:
    """Return what axe-core, given as its source, finds wrong on a page."""
    if page.evaluate("!window.axe"):
        page.evaluate(axe)
    found = page.evaluate("axe.run().then((result) => result.violations)")
    return [f"{rule['id']}: {node['target']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]
