"""A report of `evaluate` on a phone, in a browser."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("seaborn", reason="the extra `train` is not installed")

from web.page import PHONE, needs_browser

from inkdigits.evaluation.cells import CellsEvaluation
from inkdigits.evaluation.model_evaluation import ModelEvaluation
from inkdigits.evaluation.report import model_html


@needs_browser
def test_plots_are_as_wide_as_a_phone(browser: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = tuple(map(str, rng.integers(0, 9, 60)))
    files = tuple(f"{number}.png" for number in range(60))
    cells = CellsEvaluation(str(tmp_path), files, texts, texts, rng.random(60), rng.random(60) > 0.2)
    (tmp_path / "report.html").write_text(model_html(ModelEvaluation(cells=cells)), encoding="utf-8")
    page = browser.new_page(viewport=PHONE)
    page.goto((tmp_path / "report.html").as_uri())
    widths = page.eval_on_selector_all(
        "figure img", "images => images.map((each) => [each.clientWidth, each.naturalWidth])"
    )
    assert len(widths) >= 2
    for shown, drawn in widths:
        assert 250 < shown <= PHONE["width"] < drawn
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.close()
