"""Reports: one file that needs nothing else, tells what the evaluation counted, and can be read without seeing it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import save_linear_onnx
from evaluation.helpers import Seen, made_up

import inkdigits
from inkdigits.data.splits import Split
from inkdigits.errors import OutputError
from inkdigits.evaluation import figures, report
from inkdigits.evaluation.comparison import compare
from inkdigits.evaluation.digits import Evaluation, evaluate
from inkdigits.evaluation.html import save_page
from inkdigits.evaluation.inspection import Inside, look_inside
from inkdigits.reading.model import OnnxModel
from inkdigits.reading.reader import Reader

HISTORY = [{"epoch": e, "loss": 1 / e, "accuracy": 1 - 0.3 / e, "seconds": 0.1} for e in (1, 2, 3)]
VALIDATED = [row | {"val_loss": row["loss"] + 0.1, "val_accuracy": row["accuracy"]} for row in HISTORY]
FACTS = {
    "recipe": {"name": "linear", "hidden": [], "learning_rate": 0.001, "loss": "sparse_categorical_crossentropy"},
    "seed": 7,
    "versions": {"keras": "3.12.0"},
    "machine": "Linux x86_64",
}


@pytest.fixture(scope="module")
def linear(tiny_model: Path, toy: tuple[Split, Split]) -> tuple[Evaluation, Inside]:
    _, test = toy
    spoilt = Split(test.images, (test.labels + (np.arange(200) % 4 == 0)) % 10, "test", test.class_names, "toy", "0")
    return evaluate(Reader(tiny_model), spoilt), look_inside(OnnxModel(tiny_model), test.images[:1])


@pytest.fixture(scope="module")
def folder(linear: tuple[Evaluation, Inside], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    report.save_run_report(folder, linear[0], VALIDATED, FACTS, linear[1])
    return folder


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return (folder / "report.html").read_text()


def test_the_page_needs_nothing_from_outside(html: str) -> None:
    seen = Seen(html)
    assert seen.open == []
    assert seen.links
    for link in seen.links:
        assert link.startswith(("data:image/png;base64,", "#"))
        assert not link.startswith("#") or link[1:] in seen.ids
    without_pictures = re.sub(r"data:image/png;base64,[\w+/=]+", "", html)
    assert not re.search(r"https?:|url\(|@import|<script", without_pictures)


def test_every_picture_has_words(html: str) -> None:
    for image in Seen(html).images:
        assert len(image["alt"] or "") > 10


def test_every_figure_is_a_png_too(folder: Path) -> None:
    names = {path.name for path in (folder / "figures").iterdir()}
    expected = {"history", "confusion", "confusion_errors", "errors", "samples", "reliability", "weights"}
    assert names == {f"{name}.png" for name in expected}
    assert all((folder / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_the_page_tells_what_was_counted(html: str, linear: tuple[Evaluation, Inside]) -> None:
    evaluation, _ = linear
    text = " ".join(Seen(html).text.replace("\xa0", " ").split())
    truth, answer, count = evaluation.confused[0]
    assert f"errors{evaluation.n_errors} in 200 test images" in text
    assert f"{truth} read as {answer}: {count} times" in text
    assert f"{evaluation.loss:.4f}" in text
    assert "How to read it." in text
    for fact in ("sparse_categorical_crossentropy", "0.001", "3.12.0", "Linux x86_64"):
        assert fact in text


def test_thirty_worst_errors_with_truth_answer_and_confidence(html: str, linear: tuple[Evaluation, Inside]) -> None:
    evaluation, _ = linear
    section = html.split(">Worst errors</h2>")[1].split("<h2")[0]
    assert section.count("<img") == 30
    worst = int(evaluation.worst_errors(1)[0])
    assert f"image {worst}" in section
    assert f"{evaluation.answers.confidence[worst] * 100:.1f} % confident" in section


def test_samples_have_ten_bars_each(html: str) -> None:
    section = html.split(">Sample predictions</h2>")[1].split("<h2")[0]
    assert section.count('class="bars"') == 10
    assert len(re.findall(r"height:[\d.]+%", section)) == 100


def test_sigmoids_are_not_called_probabilities(html: str, linear: tuple[Evaluation, Inside]) -> None:
    evaluation, _ = linear
    assert "not probabilities" not in html
    inside = Inside("sigmoid", np.full((1, 10), 0.4, np.float32), None)
    page = report.run_html(evaluation, figures.figures_of(evaluation), inside=inside)
    assert "not probabilities" in page
    assert "4.000" in page


def test_the_matrix_is_drawn_as_the_tutorial_does(linear: tuple[Evaluation, Inside]) -> None:
    evaluation, _ = linear
    figure = figures.draw_confusion(evaluation.confusion, evaluation.class_names)
    axes = figure.axes[0]
    assert tuple(figure.get_size_inches()) == (10, 7)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted", "Truth")
    assert [text.get_text() for text in axes.texts] == [str(n) for n in evaluation.confusion.ravel()]


def test_a_matrix_is_drawn_where_it_is_asked_for() -> None:
    figure = figures.blank_figure(4, 2)
    left, right = figure.subplots(1, 2)
    assert figures.draw_confusion(np.array([[3, 1], [0, 2]]), ["cat", "dog"], right) is figure
    assert not left.texts
    assert [text.get_text() for text in right.texts] == ["3", "1", "0", "2"]


def test_side_by_side_matrices_share_a_scale() -> None:
    figure = figures.draw_confusions(compare(made_up(1, 0.3), made_up(2, 0.9)))
    scales = [axes.collections[0].get_clim() for axes in figure.axes[:2]]
    assert scales[0] == scales[1]


def test_a_report_without_history_weights_or_errors(tmp_path: Path) -> None:
    base = made_up(1, 1.0)
    answers = type(base.answers)(base.split.labels, np.eye(10)[base.split.labels], np.ones(400), np.ones(400, bool))
    path = report.save_run_report(tmp_path, Evaluation("perfect", {}, base.split, answers))
    html = path.read_text()
    assert "There are none." in html
    assert "Nothing was confused." in html
    assert ">Training</h2>" not in html
    assert ">Weights</h2>" not in html
    assert Seen(html).open == []


@pytest.mark.slow
def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    base = made_up(1, 0.5)
    names = tuple(f"<b>{k}&" for k in range(10))
    split = Split(base.split.images, base.split.labels, "test", names, "<script>alert(1)</script>", "0")
    html = report.save_run_report(tmp_path, Evaluation("<i>", {}, split, base.answers), HISTORY).read_text()
    assert "<script>" not in html
    assert "<b>3&" not in html
    assert Seen(html).open == []


@pytest.mark.slow
def test_many_classes_are_drawn_without_numbers(tmp_path: Path) -> None:
    html = report.save_run_report(tmp_path, made_up(1, 0.5, n_classes=62)).read_text()
    assert "class 61" in html


def test_a_comparison_as_a_page() -> None:
    comparison = compare(made_up(1, 0.4), made_up(2, 0.9))
    seen = Seen(report.comparison_html(comparison))
    truth, answer, before, after = comparison.pairs[0]
    assert f"{truth} read as {answer}: {before} → {after} times" in seen.text
    assert "better" in seen.text
    assert all(link.startswith(("data:", "#")) for link in seen.links)


def test_linear_weights_are_found_and_other_nets_have_none(tiny_model: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(tiny_model)
    kernel = next(numpy_helper.to_array(value) for value in model.graph.initializer if value.name == "kernel")
    weights = look_inside(OnnxModel(tiny_model), np.zeros((1, 28, 28), np.uint8)).weights
    assert weights is not None
    # A softmax does not feel what all classes have in common, so that this much is left open.
    centred = kernel - kernel.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(weights.reshape(784, 10), centred, atol=1e-4)
    save_linear_onnx(tmp_path / "squared.onnx", kernel, np.zeros(10, np.float32), {"output": "logits"}, squared=True)
    assert look_inside(OnnxModel(tmp_path / "squared.onnx"), np.zeros((1, 28, 28), np.uint8)).weights is None


def test_what_cannot_be_written_is_said_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html: cannot be written"):
        save_page(tmp_path / "report.html", b"")
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        save_page(tmp_path / "file" / "report.html", b"")


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib", "seaborn"])
def test_a_missing_library_is_known_before_anything_is_evaluated(missing: str) -> None:
    code = f"""
import sys
sys.modules["{missing}"] = None
try:
    import inkdigits.evaluation.report
except ImportError as error:
    print(error.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [missing]


def test_templates_are_files_of_the_packages_that_use_them() -> None:
    packages = Path(inkdigits.__file__).parent
    found = {path.relative_to(packages).parts[0] for path in packages.glob("*/templates/*.html")}
    assert found == {"evaluation", "audit", "sweep", "training"}
    assert (packages / "evaluation" / "templates" / "report.css").is_file()
