import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import save_linear_onnx

import inkdigits
from inkdigits.data.splits import Split
from inkdigits.errors import ModelError, OutputError, RecipeError, RunError
from inkdigits.reading.decoding import decode
from inkdigits.reading.line_reader import LineReader
from inkdigits.reading.model import SHIPPED, OnnxModel
from inkdigits.reading.reader import Reader
from inkdigits.training import export, line_model, line_net, recipes
from inkdigits.training.ensemble import combine
from inkdigits.training.epochs import distilled
from inkdigits.training.synthesis.styles import ALPHABET

Splits = tuple[Split, Split]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three linear networks of random weights: one gives logits, two give numbers that we call softmax."""
    folder = tmp_path_factory.mktemp("members")
    rng = np.random.default_rng(0)
    paths = []
    for i in range(3):
        paths.append(folder / f"{i}.onnx")
        kernel = rng.normal(0, 0.3, (784, 10)).astype(np.float32)
        save_linear_onnx(
            paths[-1], kernel, np.zeros(10, np.float32), {"output": "logits", "classes": list("0123456789")}
        )
    return paths


def softmax(scores: np.ndarray) -> np.ndarray:
    exps = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def test_a_committee_answers_with_the_mean_of_its_members(members: list[Path], toy: Splits, tmp_path: Path) -> None:
    card = combine(members, tmp_path / "ensemble.onnx")
    images = toy[1].images[:50]
    mean = np.mean([softmax(OnnxModel(member).scores(images)) for member in members], axis=0)
    ensemble = OnnxModel(tmp_path / "ensemble.onnx")
    np.testing.assert_allclose(ensemble.scores(images), mean, atol=1e-6)
    assert ensemble.card == json.loads(json.dumps(card))
    assert len(card["members"]) == 3
    answers = Reader(tmp_path / "ensemble.onnx").classify(images)
    np.testing.assert_array_equal(answers.labels, mean.argmax(axis=1))
    # An ensemble may be a member of an ensemble.
    combine([tmp_path / "ensemble.onnx", members[0]], tmp_path / "again.onnx")
    expected = (mean + softmax(OnnxModel(members[0]).scores(images))) / 2
    np.testing.assert_allclose(OnnxModel(tmp_path / "again.onnx").scores(images), expected, atol=1e-6)


def test_a_committee_is_cooled_as_its_members_are_and_teaches_as_it_is(
    members: list[Path], toy: Splits, tmp_path: Path
) -> None:
    paths = []
    for i, temperature in enumerate((0.5, 0.7)):
        paths.append(tmp_path / f"{i}.onnx")
        kernel = np.random.default_rng(i).normal(0, 0.1, (784, 10)).astype(np.float32)
        card = {"output": "logits", "classes": list("0123456789"), "temperature": temperature}
        save_linear_onnx(paths[-1], kernel, np.zeros(10, np.float32), card)
    ensemble = tmp_path / "ensemble.onnx"
    assert combine(paths, ensemble)["temperature"] == pytest.approx(0.6)
    mean = np.mean([softmax(OnnxModel(path).scores(toy[1].images)) for path in paths], axis=0)
    answers = Reader(ensemble).classify(toy[1].images)
    np.testing.assert_allclose(answers.confidence, softmax(np.log(mean) / 0.6).max(axis=1), atol=1e-5)
    with distilled(toy[1], 0.0, 0, ensemble) as source:
        images, labels = source.epoch(1)
    np.testing.assert_allclose(labels, OnnxModel(ensemble).scores(images), atol=1e-5)


def test_what_cannot_be_combined_is_refused_and_nothing_is_left(members: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    save_linear_onnx(
        other,
        np.zeros((784, 10), np.float32),
        np.zeros(10, np.float32),
        {"output": "logits", "classes": list("abcdefghij")},
    )
    with pytest.raises(ModelError, match="other classes"):
        combine([members[0], other], tmp_path / "ensemble.onnx")
    save_linear_onnx(other, np.zeros((784, 10), np.float32), np.zeros(10, np.float32), {"output": "sigmoid"})
    with pytest.raises(ModelError, match="train with --output softmax"):
        combine([members[0], other], tmp_path / "ensemble.onnx")
    with pytest.raises(OutputError, match="cannot be written"):
        combine(members, tmp_path / "nowhere" / "ensemble.onnx")
    assert list(tmp_path.iterdir()) == [other]
    with pytest.raises(ModelError, match="there already"):
        combine(members, other)
    with pytest.raises(ModelError, match=r"ends in \.onnx"):
        combine(members, tmp_path / "ensemble.txt")
    assert list(tmp_path.iterdir()) == [other]


@pytest.fixture
def line_members(toy: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two line networks of random weights, and lines of the toy data to calibrate them with."""
    monkeypatch.setattr("inkdigits.data.loading.load_mnist", lambda: toy)
    monkeypatch.setattr(line_model, "CALIBRATION", (77, {"cell": 0.5}))
    monkeypatch.setattr(line_model, "TEST", (78, {"cell": 0.1}))
    recipe = recipes.resolve("line", channels=(4, 4, 4, 8, 8), validation=20)
    assert isinstance(recipe, recipes.LineRecipe)
    card = {"format": 1, "recipe": dataclasses.asdict(recipe), "seed": 0, "versions": {}}
    card |= {"data": {"name": "toy", "sha256": toy[0].sha256, "n": len(toy[0])}} | line_model.card_of_lines(recipe)
    for seed in range(2):
        own = card | {"name": f"line-{seed}"}
        line_model.export_line(line_net.build(recipe, seed), tmp_path / f"member{seed}.onnx", own)
    return [tmp_path / "member0.onnx", tmp_path / "member1.onnx"]


def test_line_networks_stand_side_by_side_and_their_texts_are_averaged(
    line_members: list[Path], tmp_path: Path
) -> None:
    card = combine(line_members, tmp_path / "line.onnx")
    assert [member["name"] for member in card["members"]] == ["line-0", "line-1"]
    assert card["figures"]["cell_n"] > 0
    both = OnnxModel(tmp_path / "line.onnx")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 64)).astype(np.uint8)
    apart = [OnnxModel(member).scores(images) for member in line_members]
    np.testing.assert_allclose(both.scores(images), np.stack(apart, axis=1), atol=1e-4)
    picture = np.full((40, 90), 255, np.uint8)
    picture[8:32, 20:24] = 0
    readers = [LineReader(path) for path in (tmp_path / "line.onnx", *line_members)]
    views = [reader._views([picture])[0][1] for reader in readers]
    assert len(views[0]) == len(views[1]) + len(views[2])
    (answer,) = readers[0].read([picture])
    assert answer.text == decode([*views[1], *views[2]], ALPHABET, card["temperature"]).text


def test_line_networks_that_do_not_go_together_are_rejected(line_members: list[Path], tmp_path: Path) -> None:
    first, second = line_members
    export.write_card(second, OnnxModel(second).card | {"stride": 8})
    with pytest.raises(ModelError, match=r"member1.onnx: has another stride than .*member0.onnx"):
        combine(line_members, tmp_path / "line.onnx")
    with pytest.raises(ModelError, match="no network for single digits but a line network"):
        combine([first, SHIPPED / "digit.onnx"], tmp_path / "line.onnx")
    for member in line_members:
        export.write_card(member, OnnxModel(member).card | {"data": {"name": "x", "sha256": "0", "n": 1}, "stride": 4})
    with pytest.raises(ModelError, match="not trained on MNIST"):
        combine(line_members, tmp_path / "line.onnx")
    assert not (tmp_path / "line.onnx").exists()


def test_what_a_teacher_takes_the_place_of_is_refused(toy: Splits, tiny_model: Path, tmp_path: Path) -> None:
    for words in ({"loss": "mean_squared_error"}, {"label_smoothing": 0.1}):
        with pytest.raises(RecipeError, match="does not go with a teacher"):
            inkdigits.train("linear", data=toy, runs_dir=tmp_path / "runs", teacher=tiny_model, **words)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="composed does not go with a teacher"):
        inkdigits.train("reader", data=toy, runs_dir=tmp_path / "runs", teacher=tiny_model, validation=50)
    assert not (tmp_path / "runs").exists()


def test_a_net_learns_from_a_teacher_alone(toy: Splits, tiny_model: Path, tmp_path: Path) -> None:
    # Its own labels are all wrong: what it knows it has from the teacher.
    wrong = toy[0].__class__(**{**vars(toy[0]), "labels": (toy[0].labels + 1) % 10})
    settings = {"convolutions": ("5x8dp",), "epochs": 8, "batch_size": 20, "learning_rate": 0.005}
    settings |= {"distortion": 0.2, "precision": "float32", "ema": 0.9}
    run = inkdigits.train(
        "champion", data=(wrong, toy[1]), runs_dir=tmp_path, teacher=tiny_model, progress=False, **settings
    )
    assert run.figures["test_accuracy"] > 0.9
    assert run.recipe.loss == "categorical_crossentropy"
    card = OnnxModel(run.path / "model.onnx").card
    assert card["teacher"]["name"] == OnnxModel(tiny_model).card["name"]
    assert inkdigits.Run(run.path, run.info).info["teacher"]["sha256"] == card["teacher"]["sha256"]


def test_a_teacher_that_has_changed_cannot_go_on(toy: Splits, tiny_model: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher.onnx"
    teacher.write_bytes(tiny_model.read_bytes())
    settings = {"convolutions": ("5x8dp",), "epochs": 1, "precision": "float32"}
    runs_dir = tmp_path / "runs"
    run = inkdigits.train("champion", data=toy, runs_dir=runs_dir, teacher=teacher, progress=False, **settings)
    unfinished = run.path.rename(run.path.with_name(run.name + ".unfinished"))
    with pytest.raises(RunError, match="not started with this teacher"):
        inkdigits.train(data=toy, resume=unfinished, teacher=tiny_model)
