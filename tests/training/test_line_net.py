"""The line net: its training code on a tiny scale, and the weights that ship."""

from pathlib import Path

import numpy as np
import pytest

from inkdigits.reading.model import SHIPPED, OnnxModel
from inkdigits.training.line_net import (
    LINE,
    LineRecipe,
    Stage,
    batches,
    build,
    compose_round,
    export_line,
    schedule,
    targets,
)

TINY = LineRecipe(channels=(4, 4, 4, 8, 8), stages=(Stage({"clean": 1.0}, 64, (1e-3, 1e-4)),), round_rows=32, passes=2)


def test_the_schedule_falls_along_each_stage_and_covers_its_rows() -> None:
    rounds = schedule(LINE)
    rows = sum(stage.rows for stage in LINE.stages)
    assert abs(len(rounds) * LINE.round_rows * LINE.passes - rows) < len(LINE.stages) * LINE.round_rows * LINE.passes
    assert all(first >= last for _, first, last in rounds)
    assert rounds[-1][2] == pytest.approx(LINE.stages[-1].learning_rate[1])


def test_a_round_asks_for_all_its_rows_with_seeds_of_their_own() -> None:
    jobs = compose_round(LINE, {"cell": 0.8, "row": 0.2}, 0, 3)
    assert abs(sum(job[2] for job in jobs) - LINE.round_rows) <= 1
    assert len({job[0] for job in jobs}) == len(jobs)


def test_batches_hold_each_strip_as_often_as_the_recipe_says() -> None:
    rng = np.random.default_rng(0)
    images = [np.full((32, 16 * (1 + i % 20)), 255, np.uint8) for i in range(30)]
    texts = [str(100 + i) for i in range(30)]
    seen: list[str] = []
    for strips, classes in batches((images, texts), TINY, rng):
        assert strips.dtype == np.uint8
        assert strips.shape[2] * len(strips) <= TINY.batch_px
        seen += ["".join(map(str, row)) for row in classes.tolist()]
    assert sorted(seen) == sorted(texts * 2)


def test_targets_are_padded() -> None:
    assert targets(["1.5", "-"]).tolist() == [[1, 10, 5], [11, -1, -1]]


def test_export_agrees_with_keras_and_keeps_any_width(tmp_path: Path) -> None:
    export_line(build(TINY), tmp_path / "line.onnx", {"height": 32, "kind": "line"})
    net = OnnxModel(tmp_path / "line.onnx")
    assert net.card["kind"] == "line"
    for width in (16, 64, 320):
        assert net.scores(np.zeros((3, 32, width), np.uint8)).shape == (3, width // 4, 13)


def test_the_shipped_net_keeps_its_contract_and_its_size() -> None:
    path = SHIPPED / "line.onnx"
    net = OnnxModel(path)
    assert net.card["kind"] == "line"
    assert net.card["classes"][net.card["blank"]] == ""
    assert net.card["views"]
    assert 0.3 < net.card["temperature"] < 3
    assert path.stat().st_size + (SHIPPED / "digit.onnx").stat().st_size <= 4_000_000
    strips = np.random.default_rng(0).integers(0, 255, (7, net.card["height"], 64)).astype(np.uint8)
    together = net.scores(strips)
    alone = np.concatenate([net.scores(strip[None]) for strip in strips])
    assert np.allclose(together, alone, atol=1e-4)
