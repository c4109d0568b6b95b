"""Pages executed beside each other: outputs are kept, what fails is named."""

import json
from pathlib import Path

from execute_pages import READER, execute, notebook_of
from jupyter_cache import get_cache
from jupyter_cache.readers import get_reader

from .conftest import MakeBook


def code(*lines: str) -> str:
    return "\n".join(["```{code-cell} ipython3", *lines, "```", ""])


def test_outputs_are_kept_and_a_failure_is_named(make_book: MakeBook, tmp_path: Path):
    """A page runs in its own folder; a second run begins anew."""
    where = "from pathlib import Path", "print(Path.cwd().name, 6 * 7)"
    root = make_book("# First\n\n" + code(*where), "# Second\n\n" + code("1 / 0"))
    with (root / "_config.yml").open("a") as file:
        file.write("execute:\n  timeout: 60\n")
    folder = tmp_path / "kept"
    for _ in range(2):
        assert execute(folder, 2, root) == ["second"]
        cache = get_cache(folder)
        assert len(cache.list_cache_records()) == 1
        page = get_reader(READER)(str(root / "book" / "first.md"))
        _, shown = cache.merge_match_into_notebook(page)
        assert [cell.outputs[0].text for cell in shown.cells if cell.cell_type == "code"] == [
            "book 42\n"
        ]
        written = json.loads(notebook_of(folder, "first").read_text(encoding="utf-8"))
        assert [c["outputs"][0]["text"] for c in written["cells"] if "outputs" in c] == [
            ["book 42\n"]
        ]
        assert not notebook_of(folder, "second").exists()
