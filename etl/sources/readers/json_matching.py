"""Paths of keys in JSON records, and the marks by which a record's format is told.

A mark is paths of keys divided by `|`, of which one must be there; `~` and a regular expression after them asks that
the text of one begin so, and a `!` before them that none of it be so: `request_uri|uri ~ /`, `!requestContext.elb`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from etl.columnar import json_codec
from etl.sources.format import Format

_ABSENT: Final = object()

#: Records have few sets of keys, for each of which few rows are possible.
_SHAPES: Final = 4096

#: Roles of which one at least makes a record of a row that has no marks.
CONTENTS: Final = ("request", "target", "url", "path", "query", "body", "record")


class Mark(NamedTuple):
    """One mark, read."""

    paths: tuple[str, ...]
    pattern: re.Pattern[str] | None
    is_forbidden: bool

    def is_on(self, record: dict[str, Any]) -> bool:
        """Whether the record bears it."""
        return any(self._is_at(record, path) for path in self.paths) is not self.is_forbidden

    def is_possible(self, keys: Iterable[str]) -> bool:
        """Whether a record with these keys at its top may bear it."""
        if self.is_forbidden:
            return self.pattern is not None or not any(path in keys for path in self.paths)
        return any(top in keys for top in _tops(self))

    def _is_at(self, record: dict[str, Any], path: str) -> bool:
        value = at(record, path, _ABSENT)
        if value is _ABSENT or self.pattern is None:
            return value is not _ABSENT
        return not json_codec.is_structure(value) and bool(self.pattern.match(json_codec.scalar(value) or ""))


class Choice(NamedTuple):
    """Rows to choose from.

    Attributes:
        tops: Top-level keys of which a record of any of the rows has one.
        is_possible: Whether a record with these keys at its top may be in one.
        row: The first row whose marks a record bears; None where there is none.
    """

    tops: frozenset[str]
    is_possible: Callable[[tuple[str, ...]], bool]
    row: Callable[[dict[str, Any]], Format | None]


def at(record: dict[str, Any], path: str, default: Any = None) -> Any:
    """The value at a path of keys; a key that holds dots itself comes before a path.

    Examples:
        >>> at({"a": {"b": 1}}, "a.b"), at({"a.b": 2}, "a.b"), at({"a": 1}, "a.b")
        (1, 2, None)
    """
    if path in record:
        return record[path]
    if "." not in path:
        return default
    value: Any = record
    for key in _keys(path):
        if not isinstance(value, dict) or key not in value:
            return default
        value = value[key]
    return value


def choice(rows: Iterable[Format]) -> Choice:
    """A quick way to tell which of the rows a record is in.

    Args:
        rows: If a record bears the marks of several, the first counts.
    """
    marked = [(row, marks) for row in rows if (marks := marks_of(row))]
    tops = frozenset(top for _, marks in marked for top in _tops(marks[0]))

    possible: dict[tuple[str, ...], list[tuple[Format, tuple[Mark, ...]]]] = {}

    def candidates_of(keys: tuple[str, ...]) -> list[tuple[Format, tuple[Mark, ...]]]:
        candidates = possible.get(keys)
        if candidates is None:
            if len(possible) >= _SHAPES:
                possible.clear()
            candidates = [(row, marks) for row, marks in marked if all(mark.is_possible(keys) for mark in marks)]
            possible[keys] = candidates
        return candidates

    def choose(record: dict[str, Any]) -> Format | None:
        candidates = candidates_of(tuple(record))
        return next((row for row, marks in candidates if all(mark.is_on(record) for mark in marks)), None)

    return Choice(tops, lambda keys: bool(candidates_of(keys)), choose)


def marks_of(row: Format) -> tuple[Mark, ...]:
    """A row's marks; without any, that one of the keys that hold a request is there."""
    contents = "|".join(path for role in CONTENTS for path in (row.keys or {}).get(role, ()))
    return tuple(map(_mark, row.marks or filter(None, (contents,))))


@lru_cache(maxsize=1024)
def _mark(text: str) -> Mark:
    paths, tilde, pattern = text.removeprefix("!").partition("~")
    return Mark(
        tuple(path.strip() for path in paths.split("|")),
        re.compile(pattern.strip(), re.DOTALL) if tilde else None,
        is_forbidden=text.startswith("!"),
    )


def _tops(mark: Mark) -> Iterable[str]:
    return (top for path in mark.paths for top in (path, _keys(path)[0]))


@lru_cache(maxsize=4096)
def _keys(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))
