"""Every regular expression of the package, and texts on which a search may take long."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parse  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any, NamedTuple

import polars as pl

import etl

#: Methods of `str` of polars that take a pattern.
_POLARS = frozenset(
    [
        "contains",
        "count_matches",
        "extract",
        "extract_all",
        "extract_groups",
        "find",
        "replace",
        "replace_all",
        "replace_many",
    ]
)


#: Methods of a pattern that look for it at every place.
_SEARCHES = frozenset(["search", "sub", "subn", "findall", "finditer", "split"])


_WAYS = ("finditer", "match", "fullmatch")


class Found(NamedTuple):
    """A pattern and how it is used: by a method of a column of polars, by a search, or from a given place on."""

    place: str
    pattern: Any
    method: str


def modules() -> Iterator[ModuleType]:
    """All modules of the package."""
    for one in pkgutil.walk_packages(etl.__path__, "etl."):
        if not one.name.endswith("__main__"):
            yield importlib.import_module(one.name)


def patterns() -> list[Found]:
    """Patterns that modules hold, however deep in tables, and those that their functions write down."""
    found: dict[tuple[Any, str], Found] = {}
    for module in modules():
        for name, value in vars(module).items():
            for pattern in () if name.startswith("__") else _held(value, 0):
                for method in _methods(name, module):
                    found.setdefault((pattern, method), Found(f"{module.__name__}.{name}", pattern, method))
        for one in _written(module):
            found.setdefault((one.pattern, one.method), one)
    return sorted(found.values(), key=lambda one: (one.place, one.method))


@cache
def _attributes(name: str = "") -> dict[str, set[str]]:
    """The names in the text of a module, or of the whole package -> the attributes that are taken of each."""
    paths = [importlib.import_module(name).__file__ or ""] if name else sorted(Path(etl.__path__[0]).rglob("*.py"))
    found: dict[str, set[str]] = {}
    for path in (Path(path) for path in paths if str(path).endswith(".py")):
        for holder, attribute in re.findall(r"\b(\w+)\.(?=(\w+))", path.read_text(encoding="utf-8")):
            found.setdefault(holder, set()).add(attribute)
    return found


@cache
def _methods(name: str, module: ModuleType) -> tuple[str, ...]:
    """How a pattern is used, by the name of the attribute that holds it; a row of a table is used from a place on."""
    used = _attributes(module.__name__ if name.startswith("_") else "").get(name, set())
    return tuple(sorted({"finditer" if one in _SEARCHES else one for one in used} & {*_WAYS})) or ("match",)


def _held(value: Any, depth: int) -> Iterator[Any]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth < 5 and isinstance(value, (tuple, list, set, frozenset)):
        for one in value:
            yield from _held(one, depth + 1)
    elif depth < 5 and isinstance(value, Mapping):
        for one in (*value.keys(), *value.values()):
            yield from _held(one, depth + 1)


def _written(module: ModuleType) -> Iterator[Found]:
    """Patterns that stand in calls: of `re` itself, and of polars."""
    if not module.__file__ or not module.__file__.endswith(".py"):
        return
    text = Path(module.__file__).read_text(encoding="utf-8")
    if not re.search(rf"\bre\.|\.({'|'.join(_POLARS)})\(", text):  # most modules: to parse them costs a second
        return
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Attribute)):
            continue
        is_of_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
        if not is_of_re and node.func.attr not in _POLARS:
            continue
        holder = ast.unparse(node.func.value)
        is_literal = any(word.arg == "literal" for word in node.keywords)
        if holder != "re" and not (holder.endswith(".str") and node.func.attr in _POLARS and not is_literal):
            continue
        try:
            pattern = eval(ast.unparse(node.args[0]), dict(vars(module)))
        except Exception:  # made of what only the function knows
            continue
        place = f"{module.__name__}:{node.lineno}"
        if holder == "re" and isinstance(pattern, (str, bytes)) and node.func.attr not in ("escape", "compile"):
            yield Found(place, re.compile(pattern), "finditer" if node.func.attr in _SEARCHES else node.func.attr)
        elif holder != "re" and isinstance(pattern, str):
            yield Found(place, pattern, node.func.attr)


# --- texts ------------------------------------------------------------------------------------------------------

_CATEGORIES = {
    "CATEGORY_DIGIT": "7",
    "CATEGORY_NOT_DIGIT": "x",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_SPACE": "x",
    "CATEGORY_WORD": "w",
    "CATEGORY_NOT_WORD": "-",
}
_OTHERS = "x7 -\x00"


class Hard(NamedTuple):
    """What stands before a long run, the characters of which the run is made, and whole texts of which it is made."""

    before: str
    alphabet: tuple[str, ...]
    texts: tuple[str, ...] = ()


def hard_texts(pattern: str) -> list[Hard]:
    """For a pattern the texts that reach each of its repetitions, and what each repetition repeats."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = sre_parse.parse(pattern)
    except re.error:  # of the syntax of polars alone
        return [Hard("", tuple(dict.fromkeys(pattern)))]
    found: list[Hard] = []
    whole = _walk(tree, "", found, {})
    return [Hard("", _alphabet(tree), (whole, whole[:-1], whole[1:])), *dict.fromkeys(found)]


def _walk(tree: Any, before: str, found: list[Hard], groups: dict[int, str]) -> str:
    """Adds the repetitions of a part of a pattern; returns `before` and a short text that the part matches."""
    for kind, value in tree:
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            least, most, body = value
            if most > 8:
                found.append(Hard(before, _alphabet(body)))
            once = _walk(body, before, found, groups)
            before += once[len(before) :] * least
        elif kind is sre.SUBPATTERN:
            start = before
            before = _walk(value[3], before, found, groups)
            if value[0] is not None:
                groups[value[0]] = before[len(start) :]
        elif kind is sre.ATOMIC_GROUP:
            before = _walk(value, before, found, groups)
        elif kind is sre.BRANCH:
            ends = [_walk(branch, before, found, groups) for branch in value[1]]
            before = ends[0]
        elif kind is sre.GROUPREF:
            before += groups.get(value, "")
        elif kind not in (sre.AT, sre.ASSERT, sre.ASSERT_NOT, sre.GROUPREF_EXISTS):
            before += _one_of(kind, value)
    return before


def _one_of(kind: Any, value: Any) -> str:
    """A character that an item of a pattern matches."""
    if kind is sre.LITERAL:
        return chr(value)
    if kind is sre.NOT_LITERAL:
        return next(one for one in _OTHERS if ord(one) != value)
    if kind is sre.ANY:
        return "x"
    if kind is sre.IN:
        if value[0][0] is sre.NEGATE:
            return next((one for one in _OTHERS if not any(_holds(item, one) for item in value[1:])), "é")
        return _of_set(value[0])
    return ""


def _of_set(item: Any) -> str:
    kind, value = item
    if kind is sre.LITERAL:
        return chr(value)
    return chr(value[0]) if kind is sre.RANGE else _CATEGORIES[str(value)]


def _holds(item: Any, text: str) -> bool:
    kind, value = item
    if kind is sre.LITERAL:
        return ord(text) == value
    if kind is sre.RANGE:
        return bool(value[0] <= ord(text) <= value[1])
    has = {"DIGIT": text.isdigit(), "SPACE": text.isspace(), "WORD": text.isalnum() or text == "_"}
    name = str(value).removeprefix("CATEGORY_")
    return not has[name.removeprefix("NOT_")] if name.startswith("NOT_") else has[name]


def _alphabet(tree: Any) -> tuple[str, ...]:
    """The characters that a part of a pattern tells apart, one of each kind."""
    found: dict[str, None] = {}

    def look(part: Any) -> None:
        for kind, value in part:
            if kind is sre.IN:
                for item in value[1:] if value[0][0] is sre.NEGATE else value:
                    found[_of_set(item)] = None
            if kind in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN):
                found[chr(value) if kind is sre.NOT_LITERAL else _one_of(kind, value)] = None
                found[_one_of(kind, value)] = None
            elif kind is sre.BRANCH:
                for branch in value[1]:
                    look(branch)
            elif kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
                look(value[2])
            elif kind is sre.SUBPATTERN:
                look(value[3])
            elif kind is sre.ATOMIC_GROUP:
                look(value)
            elif kind in (sre.ASSERT, sre.ASSERT_NOT):
                look(value[1])

    look(tree)
    return tuple(found)


def search(found: Found, text: str) -> Any:
    """The use of a pattern on a text, from its beginning on or at every place."""
    if found.method in _POLARS:
        column, more = pl.Series([text]).str, ("",) if found.method.startswith("replace") else ()
        return lambda: getattr(column, found.method)(found.pattern, *more)
    subject: Any = text.encode("utf-8", "surrogatepass") if isinstance(found.pattern.pattern, bytes) else text
    if found.method == "finditer":
        return lambda: sum(1 for _ in found.pattern.finditer(subject))
    return lambda: getattr(found.pattern, found.method)(subject)
