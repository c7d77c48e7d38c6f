"""Finds the format of a JSON record by marks: conditions on its keys.

A mark is one or more key paths separated by `|`; one of them must be present. With `~` and a regular expression, the
text at one of the paths must begin with a match. A leading `!` negates the mark. Examples: `request_uri|uri ~ /`,
`!requestContext.elb`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from etl.columnar import json_codec
from etl.sources.format import Format

_ABSENT: Final = object()

#: Capacity of the cache from a record's top-level keys to possible formats. Records have few distinct sets of keys.
_CACHED_KEY_SETS: Final = 4096

#: A format without marks claims records that have a key for one of these roles.
CONTENT_ROLES: Final = ("request", "target", "url", "path", "query", "body")


class Mark(NamedTuple):
    """A parsed mark: a condition on the keys of a record."""

    paths: tuple[str, ...]
    pattern: re.Pattern[str] | None
    is_forbidden: bool

    def matches(self, record: dict[str, Any]) -> bool:
        """Whether the record satisfies the mark."""
        return any(self._is_at(record, path) for path in self.paths) is not self.is_forbidden

    def may_match(self, keys: Iterable[str]) -> bool:
        """Whether a record with these top-level keys may satisfy the mark."""
        if self.is_forbidden:
            return self.pattern is not None or not any(path in keys for path in self.paths)
        return any(top in keys for top in _top_keys(self))

    def _is_at(self, record: dict[str, Any], path: str) -> bool:
        """Whether a path is present in a record and its text begins with a match of the pattern, if there is one."""
        value = value_at(record, path, _ABSENT)
        if value is _ABSENT or self.pattern is None:
            return value is not _ABSENT
        return not json_codec.is_structure(value) and bool(self.pattern.match(json_codec.scalar(value) or ""))


class FormatMatcher(NamedTuple):
    """Chooses a record's format from several formats.

    Attributes:
        top_keys: A record in any of the formats has at least one of these top-level keys.
        may_match: Returns whether a record with these top-level keys may be in one of the formats.
        match: Returns the first format all of whose marks a record satisfies; None if there is none.
    """

    top_keys: frozenset[str]
    may_match: Callable[[tuple[str, ...]], bool]
    match: Callable[[dict[str, Any]], Format | None]


def value_at(record: dict[str, Any], path: str, default: Any = None) -> Any:
    """Returns the value at a dotted path of keys; a key with the whole name takes precedence, also in an object within.

    Examples:
        >>> value_at({"a": {"b": 1}}, "a.b"), value_at({"a.b": 2}, "a.b"), value_at({"a": 1}, "a.b")
        (1, 2, None)
        >>> value_at({"a": {"b.c": 3}}, "a.b.c")
        3
    """
    if path in record:
        return record[path]
    if "." not in path:
        return default
    first, _, rest = path.partition(".")
    value: Any = record.get(first, default)
    if not isinstance(value, dict):
        return default
    if rest in value:
        return value[rest]
    for key in _keys(rest):
        if not isinstance(value, dict) or key not in value:
            return default
        value = value[key]
    return value


def format_matcher(rows: Iterable[Format], cached: int = _CACHED_KEY_SETS) -> FormatMatcher:
    """Returns a fast choice of a record's format.

    Args:
        rows: The formats, in order of precedence.
        cached: For so many sets of top-level keys, the possible formats are kept.
    """
    marked = [(row, marks) for row in rows if (marks := marks_of(row))]
    top_keys = frozenset(top for _, marks in marked for top in _top_keys(marks[0]))

    possible: dict[tuple[str, ...], list[tuple[Format, tuple[Mark, ...]]]] = {}

    def candidates_of(keys: tuple[str, ...]) -> list[tuple[Format, tuple[Mark, ...]]]:
        """Returns the formats that a record with these top-level keys may be in; cached."""
        candidates = possible.get(keys)
        if candidates is None:
            if len(possible) >= cached:
                possible.clear()
            candidates = [(row, marks) for row, marks in marked if all(mark.may_match(keys) for mark in marks)]
            possible[keys] = candidates
        return candidates

    def choose(record: dict[str, Any]) -> Format | None:
        candidates = candidates_of(tuple(record))
        return next((row for row, marks in candidates if all(mark.matches(record) for mark in marks)), None)

    return FormatMatcher(top_keys, lambda keys: bool(candidates_of(keys)), choose)


def marks_of(row: Format) -> tuple[Mark, ...]:
    """Returns a format's marks. A format without marks gets one: a key that holds a part of a request is present."""
    if row.marks:
        return _parsed_marks(row.marks)
    contents = "|".join(path for role in CONTENT_ROLES for path in (row.keys or {}).get(role, ()))
    return _parsed_marks((contents,)) if contents else ()


@lru_cache(maxsize=1024)
def _parsed_marks(texts: tuple[str, ...]) -> tuple[Mark, ...]:
    """Parses the marks of a format."""
    return tuple(map(mark_of, texts))


def mark_of(text: str) -> Mark:
    """Parses a mark."""
    paths, tilde, pattern = text.removeprefix("!").partition("~")
    return Mark(
        tuple(path.strip() for path in paths.split("|")),
        re.compile(pattern.strip(), re.DOTALL) if tilde else None,
        is_forbidden=text.startswith("!"),
    )


def _top_keys(mark: Mark) -> Iterable[str]:
    """Returns the top-level keys at which a mark's paths may begin."""
    return (top for path in mark.paths for top in (path, _keys(path)[0]))


@lru_cache(maxsize=4096)
def _keys(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))
