"""A module imports only from floors below its own, and in its room from modules before it: `tests/floors.py`."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.floors import FLOORS, Floor, Room

PACKAGE: Final = Path(__file__).parents[1] / "etl"
MODULES: Final = {
    ".".join(("etl", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


class Place(NamedTuple):
    """Where a module stands: its floor, its room's number there, its own number in that room."""

    floor: int
    room: int
    number: int


def dotted(room: Room, module: str) -> str:
    parts = ("etl", *room.name.split("/"), module)
    return ".".join(part for part in parts if part and part != "__init__")


def places_of(floors: tuple[Floor, ...]) -> dict[str, Place]:
    return {
        dotted(room, module): Place(floor_no, room_no, number)
        for floor_no, floor in enumerate(floors)
        for room_no, room in enumerate(floor.rooms)
        for number, module in enumerate(room.modules)
    }


PLACES: Final = places_of(FLOORS)


def imported_modules(text: str) -> set[str]:
    """The modules of the house that a text imports, wherever in it, also within functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "etl":
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "etl"}
    return found


def package_of(module: str) -> str:
    """The package of `etl` that a module is in."""
    parts = module.split(".")[1:]
    return parts[0] if len(parts) > 1 or (parts and MODULES[module].name == "__init__.py") else ""


def misplaced_imports(module: str, text: str) -> set[str]:
    """What a module imports from above, from other packages on its floor, or from further down its package's list."""
    own = PLACES[module]
    return {
        other
        for other in imported_modules(text) - {module}
        if PLACES[other].floor > own.floor
        or (PLACES[other].floor == own.floor and (package_of(other) != package_of(module) or PLACES[other] >= own))
    }


def holds_code(path: Path) -> bool:
    return len(ast.parse(path.read_text(encoding="utf-8")).body) > 1


def test_every_module_has_one_place() -> None:
    listed = [dotted(room, module) for floor in FLOORS for room in floor.rooms for module in room.modules]
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py" and not holds_code(path)}
    assert [name for name, count in Counter(listed).items() if count > 1] == []
    assert set(listed) == set(MODULES) - packages


@pytest.mark.parametrize("module", sorted(PLACES))
def test_a_module_imports_only_from_below(module: str) -> None:
    assert misplaced_imports(module, MODULES[module].read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("module", "text", "caught"),
    [
        ("etl.rules.value_parsing", "from etl.steps.pipeline import transform", "etl.steps.pipeline"),
        ("etl.rules.value_parsing", "def f():\n    from etl.steps import items", "etl.steps.items"),
        ("etl.rules.page", "from etl.rules import ruleset", "etl.rules.ruleset"),
        ("etl.steps.items", "import etl.sources.storage.inputs", "etl.sources.storage.inputs"),
        ("etl.runner.run", "from etl.engines.local_pool import workers", "etl.engines.local_pool"),
    ],
    ids=["from above", "within a function", "from further down its room", "from beside", "the run its engine"],
)
def test_a_planted_import_is_caught(module: str, text: str, caught: str) -> None:
    assert misplaced_imports(module, text) == {caught}


def test_no_two_modules_have_one_name() -> None:
    """A command's module is called as the command, and so may share its name with what it calls."""
    names = Counter(
        name.rpartition(".")[2]
        for name, path in MODULES.items()
        if path.name not in {"__init__.py", "__main__.py"} and not name.startswith("etl.cli.")
    )
    assert [name for name, count in names.items() if count > 1] == []


IMPURE: Final = {"os", "pathlib", "time", "random", "uuid", "socket", "subprocess", "tempfile", "shutil", "logging"}


@pytest.mark.parametrize(
    "module",
    [
        dotted(room, module)
        for floor in FLOORS
        for room in floor.rooms
        for module in room.modules
        if room.name in {"columnar", "rules", "privacy", "steps"} or floor.name in {"facts", "options"}
    ],
)
def test_the_floors_below_the_edges_are_pure(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names & IMPURE == set()


def test_no_two_classes_have_one_name() -> None:
    names = Counter(
        node.name
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(("made", "door"), [("ShownText", "etl.privacy."), ("ShownRows", "etl.steps.address_columns")])
def test_only_one_door_makes_what_may_be_shown(made: str, door: str) -> None:
    makers = {
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == made
    }
    assert makers
    assert all(name.startswith(door) for name in makers), makers
