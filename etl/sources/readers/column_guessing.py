"""Columns of tables: which hold what of a request, guessed from names and contents, and a row as a `Record`.

A table either has a column with requests (payloads, URLs or queries), or columns named like the parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from etl.columnar import json_codec
from etl.rules import page
from etl.sources.format import Settings
from etl.sources.readers.request_fields import Manner, record_of
from etl.sources.readers.timestamps import read_any
from etl.sources.record import Record

#: How users call the roles, where that differs.
ROLES: Final = {
    "received_at": "time",
    "payload": "body",
    "url": "target",
    "http_method": "method",
    "http_status": "status",
    "client_ip": "client",
    "user_agent": "agent",
    "path": "path",
    "query": "query",
    "request": "request",
}

#: Column -> names that it often has, the likeliest first.
GUESSES: Final[dict[str, tuple[str, ...]]] = {
    "payload": (
        *("payload", "body", "request_json", "request_body", "raw_body", "body_raw", "content", "json", "raw_json"),
        *("raw", "raw_payload", "data", "event", "event_data", "message", "details", "post_data", "params", "value"),
    ),
    "url": ("url", "request_url", "full_url", "uri", "request_uri", "link", "href", "landing_url", "postback_url"),
    "request": ("request", "request_line"),
    "query": ("query", "query_string", "querystring", "args", "qs", "raw_query"),
    "path": ("path", "request_path", "endpoint"),
    "received_at": (
        *("received_at", "received", "created_at", "created", "inserted_at", "logged_at", "request_time", "timestamp"),
        *("time", "datetime", "date", "event_time", "ts", "date_created"),
    ),
    "http_method": ("http_method", "method", "request_method", "verb"),
    "http_status": ("http_status", "status_code", "response_status", "response_code"),
    "client_ip": ("client_ip", "ip", "remote_addr", "remote_ip", "ip_address"),
    "user_agent": ("user_agent", "useragent", "agent", "ua"),
}
_CONTENT: Final = {
    "payload": re.compile(r"\s*(?:\{\s*(?:\"|\})|\"\{|\[|\??[\w.%\[\]+-]+=)"),
    "url": re.compile(r"https?://|/[^\s]*\?"),
    "request": re.compile(r"[A-Z]{3,7} (?:/|https?://)"),
    "query": re.compile(r"\??[\w.%\[\]+-]+="),
}
_OBJECT: Final = re.compile(r"\s*\{\s*(?:\"|\})")
_PARAMETERS: Final = frozenset(
    name.lower().replace("_", "") for field in (*page.CORE_FIELDS, *page.EXACT_FIELDS) for name in field.accepted
)


def folded(name: str) -> str:
    """A column's name for comparison: lower case, words divided by `_`.

    Examples:
        >>> folded(" Created At"), folded("raw-body")
        ('created_at', 'raw_body')
    """
    return re.sub(r"[\s-]+", "_", name.strip().strip("\ufeff\u200b").lower())


def guess_columns(
    names: list[str], rows: Sequence[Mapping[str, Any]], settings: Settings
) -> tuple[tuple[str, str], ...]:
    """Which columns hold what of a request; none where the columns are the parameters themselves.

    Args:
        names: The table's columns.
        rows: Some of its rows, column -> value; a value that is missing or empty says nothing.
        settings: What the user said of columns comes first.
    """
    said = {role: name for role, name in settings.columns if name in names}
    taken = {**_named(names, rows), **said}
    if not _CONTENT.keys() & taken.keys():
        found = next((name for name in names if _is_mostly(_OBJECT, _texts(rows, name))), None)
        taken = {**taken, "payload": found} if found else taken
    if not _CONTENT.keys() & taken.keys():
        return tuple((role, name) for role, name in taken.items() if role in said or folded(name) == "received_at")
    return tuple(taken.items())


def are_parameters(names: Iterable[str]) -> bool:
    """Whether columns are named like parameters: one at least that identifies a conversion."""
    identities = {"clickid", "click", "refid", "ref", "email"}
    plain = {folded(name).replace("_", "") for name in names}
    return bool(plain & identities) or len(plain & _PARAMETERS) >= 2


def _named(names: list[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    by_fold = {folded(name): name for name in reversed(names)}
    found: dict[str, str] = {}
    for role, guesses in GUESSES.items():
        candidates = [by_fold[guess] for guess in guesses if guess in by_fold]
        if role in _CONTENT:
            filled = {name: texts for name in candidates if (texts := _texts(rows, name))}
            candidates = [name for name in candidates if name not in filled or _is_mostly(_CONTENT[role], filled[name])]
            candidates.sort(key=lambda name: name not in filled)
        if candidates:
            found[role] = candidates[0]
    return found


def _texts(rows: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    values = (row.get(name) for row in rows)
    texts = ("{}" if isinstance(value, dict) else json_codec.scalar(value) or "" for value in values)
    return [text for text in texts if text.strip()]


def _is_mostly(pattern: re.Pattern[str], texts: list[str]) -> bool:
    return sum(bool(pattern.match(text)) for text in texts) * 2 > len(texts)


def read_row(row: Mapping[str, Any], settings: Settings) -> Record:
    """A row of a table, by the columns that the settings name, else by the names of its columns.

    Args:
        row: Column -> value, without those that are missing or empty.
        settings: Which columns hold what.

    Examples:
        >>> read_row({"id": "1", "body": '{"click_id": "a"}'}, Settings(columns=(("payload", "body"),))).body
        '{"click_id": "a"}'
        >>> read_row({"click_id": "a", "value": "1"}, Settings()).fields
        {'click_id': 'a', 'value': '1'}
    """
    columns = dict(settings.columns)
    if "token_id" in row and row.get("type") in ("email", "dns"):
        return Record("not_a_request")
    if not _CONTENT.keys() & columns.keys():
        time = columns.get("received_at", "")
        fields = {name: value for name, value in row.items() if name != time}
        return Record(received_at=_instant(row.get(time), settings), fields=json_codec.without_surrogates(fields))
    roles = {ROLES[role]: row[name] for role, name in columns.items() if name in row}
    record = record_of(roles, Manner(zone=settings.timezone, is_pathless=True))
    if "request" in columns and record.fault is None and record.path is None:
        return record._replace(fault="not_a_request")
    is_bin = "token_id" in row and (record.path or "").strip("/") == row["token_id"]
    return record._replace(path=None) if is_bin else record


def _instant(value: Any, settings: Settings) -> datetime | None:
    text = json_codec.scalar(value)
    return read_any(text, settings.timezone) if text else None
