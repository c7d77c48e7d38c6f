"""The notebooks in examples/ run, and hold the results that they give now."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_notebook_is_up_to_date(path: Path) -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from notebooks import executed
    finally:
        sys.path.remove(str(ROOT / "docs"))
    present = path.read_text(encoding="utf-8")
    assert executed(present) == present, "run `make docs`"
    cells = [cell for cell in json.loads(present)["cells"] if cell["cell_type"] == "code"]
    assert sum(bool(cell["outputs"]) for cell in cells) >= 7
