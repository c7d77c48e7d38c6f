"""Executes the notebooks in examples/: their cells hold the real results, as those of a person's Jupyter would.

A notebook is plain JSON, and its cells are plain Python, so nothing of Jupyter is needed to execute one. The cells run
in this process, in a temporary folder that stands beside sample_data/ as examples/ does.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

ROOT = Path(__file__).parents[1]


def executed(text: str) -> str:
    """The text of a notebook whose cells have been executed in their order."""
    notebook = json.loads(text)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name, pl.Config():
        (Path(name) / "sample_data").symlink_to(ROOT / "sample_data")
        (Path(name) / "examples").mkdir()
        os.chdir(Path(name) / "examples")
        try:
            names: dict[str, Any] = {}
            for number, cell in enumerate(cells, 1):
                cell["execution_count"] = number
                cell["outputs"] = _outputs("".join(cell["source"]), names, number)
        finally:
            os.chdir(before)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _outputs(code: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """What a cell prints, and the value of the expression that it ends with."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"<cell {number}>", "exec"), names)
        value = eval(compile(ast.Expression(last.value), f"<cell {number}>", "eval"), names) if last else None
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(printed.getvalue())})
    if value is not None:
        html = value._repr_html_() if hasattr(value, "_repr_html_") else None
        shown = {"text/html": _lines(html)} if html else {"text/plain": _lines(repr(value))}
        result = {"execution_count": number, "metadata": {}, "output_type": "execute_result"}
        outputs.append({"data": shown, **result})
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
