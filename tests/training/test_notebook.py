"""The notebook runs from its first cell to its last, and finds what it says it finds."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "tutorial.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
@pytest.mark.usefixtures("mnist")
def test_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    told = "".join(output.get("text", "") for output in outputs)
    assert "the first five labels: [5 0 4 1 9]" in told
    assert "answers: [7 2 1 0 4] truth: [7 2 1 0 4]" in told
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 8
    assert len(list((tmp_path / "runs").glob("*/report.html"))) == 5


def test_notebook_defines_nothing_long() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 10
            assert "def " not in cell.source
