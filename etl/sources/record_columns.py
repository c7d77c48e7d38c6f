"""Finds the column of a table, or the key of JSON records, whose values are whole records (rules 1.3b)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from etl.columnar import json_codec
from etl.sources.carriers.carrier import text_of
from etl.sources.carriers.known_carriers import Claims, recognised
from etl.sources.carriers.table_carriers import TIMES, exported_columns
from etl.sources.format import Settings
from etl.sources.readers.column_guessing import GUESSES, folded
from etl.sources.readers.webhook_envelopes import is_envelope

#: Roles that hold a part of a request; a table in which the user named one carries no whole records.
_PARTS: Final = frozenset(("payload", "url", "request", "query", "path"))

#: A column is guessed from this many rows. One without a text of this length holds no lines.
_GUESSED: Final = 30
_SHORTEST: Final = 20

_PART_NAMES: Final = frozenset(name for role in ("url", "path", "query", "http_method") for name in GUESSES[role])

_RECORD, _TIME = "record", "received_at"


class RecordColumns(NamedTuple):
    """The column of records, and what it carries.

    Attributes:
        columns: (role, column) pairs: `record`, and `received_at` if there is a column of times.
        carriers: The names of the carriers within the column, from the outside in.
        texts: The sampled records.
    """

    columns: tuple[tuple[str, str], ...]
    carriers: tuple[str, ...]
    texts: list[bytes]


def exported_records(
    names: list[str], rows: Sequence[Mapping[str, Any]], claims: Claims, settings: Settings
) -> RecordColumns | None:
    """Returns the column that the user named or in which a known log store exports records; None if there is none.

    Args:
        names: The table's column names.
        rows: Sample rows, column -> value.
        claims: What formats say of a text.
        settings: The user's settings; columns that the user named take precedence.
    """
    named = {role: name for role, name in settings.columns if name in names}
    if not _PARTS.isdisjoint(named):
        return None
    columns = named if _holds_parts(names) else (exported_columns(names) or {}) | named
    return _found(columns, names, rows, claims) if _RECORD in columns else None


def guessed_records(
    names: list[str], rows: Sequence[Mapping[str, Any]], claims: Claims, settings: Settings
) -> RecordColumns | None:
    """Returns the first column most of whose values are records of logs or envelopes; None if there is none.

    Arguments as for `exported_records`.
    """
    named = {role: name for role, name in settings.columns if name in names}
    if not _PARTS.isdisjoint(named) or _holds_parts(names) or len(names) < 2:
        return None
    rows = rows[:_GUESSED]
    for name in names:
        if not any(isinstance(text := row.get(name), str) and len(text) >= _SHORTEST for row in rows):
            continue
        found = _found({**named, _RECORD: name}, names, rows, claims)
        known = sum(claims.is_log(text) or _is_envelope(text) for text in found.texts)
        if known * 2 > len(found.texts):
            return found
    return None


def _holds_parts(names: list[str]) -> bool:
    """Whether columns have the names of parts of a request, so that none carries a whole one."""
    return not _PART_NAMES.isdisjoint(map(folded, names))


def _found(
    columns: Mapping[str, str], names: list[str], rows: Sequence[Mapping[str, Any]], claims: Claims
) -> RecordColumns:
    """Returns what a column of records carries, with a column of times if one has the name of such."""
    cells = (row.get(columns[_RECORD]) for row in rows)
    values = (text_of(cell) for cell in cells if isinstance(cell, str))
    carriers, texts = recognised([text for text in values if text and text.strip()], claims)
    by_fold = {folded(name): name for name in reversed(names)}
    times = (by_fold[folded(name)] for name in (*TIMES, *GUESSES[_TIME]) if folded(name) in by_fold)
    time = columns.get(_TIME) or next((name for name in times if name != columns[_RECORD]), None)
    pairs = {_RECORD: columns[_RECORD], **({_TIME: time} if time else {})}
    return RecordColumns(tuple(pairs.items()), carriers, texts)


def _is_envelope(text: bytes) -> bool:
    """Whether a text is an envelope."""
    try:
        value = json_codec.parse(text) if text[:1] == b"{" else None
    except json_codec.JsonError:
        return False
    return isinstance(value, dict) and is_envelope(value)
