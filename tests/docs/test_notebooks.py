"""Notebooks: the gallery's show their pictures where a reader runs them; so does a drawing in a cell's last line."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.docs

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.glob("plot_*.py"))


def executed(notebook, folder):
    """Return the cells of code of a notebook, after a kernel has run them."""
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(cell):
    """Return the pictures below a cell, each once."""
    data = [output["data"] for output in cell.outputs if "data" in output]
    films = [part for part in data if "data:image/gif" in part.get("text/html", "")]
    return [part["image/png"] for part in data if "image/png" in part] + films


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_downloaded_notebook_shows_its_pictures(script, tmp_path):
    """Protects who downloads an example: each cell that draws shows one picture, and nothing goes to standard error."""
    import nbformat
    from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
    from sphinx_gallery.notebook import jupyter_notebook
    from sphinx_gallery.py_source_parser import split_code_and_text_blocks

    _, blocks = split_code_and_text_blocks(script)
    notebook = jupyter_notebook(blocks, DEFAULT_GALLERY_CONF | {"pypandoc": False}, str(tmp_path))
    done = executed(nbformat.reads(json.dumps(notebook), as_version=4), tmp_path)
    drawing = [
        cell for cell in done if any(word in cell.source for word in ("draw_", "subplots(", "animate_"))
    ]
    assert drawing
    for cell in drawing:
        assert len(pictures(cell)) == 1, cell.source
    errors = [output["text"] for cell in done for output in cell.outputs if output.get("name") == "stderr"]
    assert not [text for text in errors if "%|" not in text and text.strip()]  # but for bars of progress


def test_results_show_themselves(tmp_path):
    """Protects the first hour in Jupyter: a drawing is a picture, verdicts and catapults are tables of HTML."""
    import nbformat

    sources = [
        "import selfstab as ss\n"
        "loss = ss.Product()\n"
        "start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), size=1e-3)\n"
        "run = ss.simulate(loss, ss.HeavyBall(lr=0.97, momentum=0.9), start, 200, previous=previous)",
        "ss.plotting.draw_sharpness(run)",
        "ax = ss.plotting.draw_loss(run);",
        "import matplotlib.pyplot as plt\nfig, axes = plt.subplots(1, 2)\n"
        "ss.plotting.draw_sharpness(run, axes[0])\nss.plotting.draw_loss(run, axes[1])\nplt.show()",
        "ss.catapults(run.sharpness, run.max_stable_sharpness, run.loss)",
        "ss.verify(['Q1'])",
    ]
    new = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    cells = executed(new, tmp_path)
    assert [len(pictures(cell)) for cell in cells] == [0, 1, 1, 1, 0, 0]
    for cell in cells[4:]:
        html = cell.outputs[-1]["data"]["text/html"]
        assert html.startswith("<table>")
