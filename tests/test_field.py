"""Small inputs of the kinds that real files have: what `truth.json` beside them says must come of each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from tests.commands import run
from tests.places import SHARED

FIELD: Final = SHARED / "field" / "logs"
TRUTH: Final[dict[str, dict[str, Any]]] = (
    json.loads((FIELD / "truth.json").read_text(encoding="utf-8")) if FIELD.exists() else {}
)
INPUTS: Final = [
    pytest.param(path, TRUTH.get(path.name, {}), id=path.name)
    for path in sorted(FIELD.glob("*"))
    if path.is_file() and path.suffix != ".toml" and path.name not in ("README.md", "truth.json")
]
PLAIN: Final = [[f"abc{number}", f"T{number}", "12.5", "Purchase"] for number in (1, 2, 3)]


@pytest.mark.reads_shared
@pytest.mark.parametrize(("path", "truth"), INPUTS)
def test_an_input_becomes_what_its_truth_says(path: Path, truth: dict[str, Any], tmp_path: Path) -> None:
    out, summary = tmp_path / "tables", tmp_path / "summary.json"
    options = ["--summary", summary, "-q", "--jobs", "1", "--pii", "keep", *truth.get("options", [])]
    finished = run("run", path, "--out", out, *options, code=None, cwd=FIELD)
    if "refused" in truth:
        assert finished.returncode in (1, 2)
        assert re.search(truth["refused"], finished.stderr.decode(), re.DOTALL)
        return
    assert finished.returncode in (0, 3), finished.stderr.decode()
    rows = pl.read_parquet(out / "conversions").select("match_key", "transaction_id", "value", "event").rows()
    found = [
        [key, number, None if value is None else f"{value.normalize():f}", event] for key, number, value, event in rows
    ]
    assert sorted(found, key=str) == sorted(truth.get("rows", PLAIN), key=str)
    if "rejected" in truth:
        assert json.loads(summary.read_bytes())["rejections"]["by_reason"] == truth["rejected"]
