"""The house: a module imports only from floors below its own. The README's diagram is this tuple."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

FLOORS: Final = (
    ("bytes", ("byte_loops", "json_loops")),
    ("facts", ("errors", "options", "schema", "spec")),
    ("letters", ("distinct", "json_text", "lists", "rules", "ruleset", "spans", "visible")),
    ("parameters", ("json_values", "pairs")),
    (
        "words",
        (
            "cells",
            "identifiers",
            "issues",
            "junk",
            "meanings",
            "paths",
            "raw_lines",
            "ruleset_file",
            "splices",
            "traits",
            "urlencoded",
            "values",
        ),
    ),
    ("fields", ("aliases", "params", "personal", "templates")),
    ("raws", ("raw_objects",)),
    ("tables", ("conversions", "duplicates", "findings", "items", "passthroughs", "redaction", "rejections")),
    ("edges", ("pipeline", "rulesets", "sinks", "sources")),
    ("engines", ("engines",)),
    ("readings", ("reading",)),
    ("runs", ("job",)),
    ("stores", ("warehouse",)),
    ("stories", ("audit", "explain", "inspection", "reconciliation", "reports", "telemetry", "what_if")),
    ("door", ("__init__", "__main__", "cli")),
)
FLOOR_OF: Final = {room: number for number, (_, rooms) in enumerate(FLOORS) for room in rooms}
PACKAGE: Final = Path(__file__).parents[1] / "etl"


def imported_rooms(text: str) -> set[str]:
    """The rooms of the house that a module's text imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == "etl":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("etl."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("etl.")}
    return found


def upward_imports(room: str, text: str) -> set[str]:
    return {other for other in imported_rooms(text) - {room} if FLOOR_OF[other] >= FLOOR_OF[room]}


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_a_module_imports_only_from_below(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert FLOOR_OF[room] >= 0
    if room not in {"__init__", "__main__"}:
        assert upward_imports(room, path.read_text(encoding="utf-8")) == set()


def test_a_planted_upward_import_is_caught() -> None:
    assert upward_imports("values", "from etl.pipeline import transform") == {"pipeline"}
    assert upward_imports("values", "def f():\n    from etl import junk") == {"junk"}


IMPURE: Final = {"os", "pathlib", "time", "random", "uuid", "socket", "subprocess", "tempfile", "shutil", "logging"}


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_the_floors_below_the_edges_are_pure(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if FLOOR_OF[room] > FLOOR_OF["rejections"] and room != "pipeline":
        return
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        str(node.module).split(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    }
    assert names & IMPURE == set()
