"""The notebook runs from its first cell to its last, and finds what it says it finds."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "tutorial.ipynb"
STEPS = (
    "plt.matshow",
    "/ 255",
    ".reshape(len(x_train_scaled), 28 * 28)",
    'keras.layers.Dense(10, activation="sigmoid")',
    'optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"]',
    "epochs=5",
    ".evaluate(",
    ".predict(",
    "np.argmax",
    "figsize=(10, 7)",
    "sns.heatmap(matrix, annot=True",
    "keras.layers.Dense(100",
    "keras.layers.Flatten()",
    "inkdigits.compare",
    "keras.layers.Conv2D",
    "read_page",
)


def text_of(notebook: nbformat.NotebookNode) -> str:
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return "".join(output.get("text", "") for output in outputs)


def accuracies(text: str, before: str) -> list[float]:
    """Return the numbers after some words, wherever the notebook printed them."""
    return [float(number) for number in re.findall(re.escape(before) + r" (\d\.\d+)", text)]


def check_figures(text: str) -> None:
    """Hold what the notebook prints against the tutorial's figures and against one another."""
    assert "(60000, 28, 28) uint8 (10000, 28, 28)" in text
    assert "[5 0 4 1 9]" in text
    assert "answers: [7 2 1 0 4] labels: [7 2 1 0 4]" in text
    linear, hidden, *_ = accuracies(text, ", test accuracy")
    one_line = accuracies(text, "test accuracy")
    by_hand = accuracies(text, "by hand")
    assert linear == pytest.approx(0.9241, abs=0.005)
    assert hidden == pytest.approx(0.9759, abs=0.006)
    # One line of inkdigits comes to what the steps by hand come to.
    assert by_hand == [linear, hidden]
    for figure in by_hand:
        assert any(abs(figure - other) < 0.006 for other in one_line if other != figure)
    assert accuracies(text, "train accuracy")[0] == pytest.approx(0.9846, abs=0.004)
    assert max(one_line) > 0.988  # `fast`
    assert all(figure > 0.85 for figure in accuracies(text, "validation accuracy"))
    assert "p < 0.0001" in text
    assert "31 415" in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
@pytest.mark.usefixtures("mnist")
def test_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    check_figures(text_of(notebook))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 7
    assert all((folder / "report.html").is_file() for folder in (tmp_path / "runs").iterdir())


def test_stored_outputs_are_those_of_a_run() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    check_figures(text_of(notebook))
    assert not [
        output for cell in notebook.cells for output in cell.get("outputs", ()) if output.get("name") == "stderr"
    ]


def test_every_step_of_the_tutorial_stands_there_by_hand() -> None:
    code = "\n".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code")
    positions = [code.find(step) for step in STEPS]
    assert -1 not in positions, STEPS[positions.index(-1)]
    assert code.index("model.fit(") < code.index("inkdigits.train(")


def test_notebook_defines_nothing_long() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 12
            assert "def " not in cell.source
