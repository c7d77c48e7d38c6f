"""Guesses which columns of a table hold which part of a request, and turns rows into records.

A table either has a column with requests (payloads, URLs or queries), or its columns are named like the parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from etl.columnar import json_codec
from etl.rules import page
from etl.sources.format import Settings
from etl.sources.readers.request_fields import ParseOptions, instant_of, record_of
from etl.sources.record import Record

#: The user's name of a role -> the reader's name.
ROLES: Final = {
    "record": "record",
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

#: Role -> common column names, the likeliest first.
GUESSES: Final[dict[str, tuple[str, ...]]] = {
    "payload": (
        *("payload", "body", "request_json", "request_body", "raw_body", "body_raw", "content", "json", "raw_json"),
        *("raw", "raw_payload", "data", "event", "event_data", "message", "details", "post_data", "params", "value"),
    ),
    "url": (
        "url",
        "request_url",
        "full_url",
        "uri",
        "request_uri",
        "link",
        "href",
        "landing_url",
        "postback_url",
        "cs_uri",
        "clientrequesturi",
        "original_url",
        "url_original",
        "url_full",
        "httprequest_requesturl",
    ),
    "request": ("request", "request_line"),
    "query": (
        "query",
        "query_string",
        "querystring",
        "args",
        "qs",
        "raw_query",
        "cs_uri_query",
        "url_query",
        "request_query_string",
    ),
    "path": ("path", "request_path", "endpoint", "clientrequestpath", "cs_uri_stem", "url_path"),
    "received_at": (
        *("received_at", "received", "created_at", "created", "inserted_at", "logged_at", "request_time", "timestamp"),
        *("time", "datetime", "date", "event_time", "ts", "date_created", "time_micros", "edgestarttimestamp"),
        *(
            "timegenerated",
            "timegenerated_utc",
            "timestamp_utc",
            "time_utc",
            "date_utc",
            "date_and_time",
            "zeit",
            "zeitstempel",
        ),
        *("zeitpunkt", "datum", "fecha", "horodatage"),
    ),
    "http_method": (
        "http_method",
        "method",
        "request_method",
        "verb",
        "cs_method",
        "clientrequestmethod",
        "httprequest_requestmethod",
        "http_request_method",
    ),
    "http_status": (
        "http_status",
        "status_code",
        "response_status",
        "response_code",
        "sc_status",
        "edgeresponsestatus",
        "httprequest_status",
        "http_response_status_code",
    ),
    "client_ip": (
        "client_ip",
        "ip",
        "remote_addr",
        "remote_ip",
        "ip_address",
        "c_ip",
        "clientip",
        "source_ip",
        "httprequest_remoteip",
        "remote_address",
    ),
    "user_agent": (
        "user_agent",
        "useragent",
        "agent",
        "ua",
        "cs_user_agent",
        "clientrequestuseragent",
        "user_agent_original",
        "httprequest_useragent",
    ),
}
_CONTENT_PATTERNS: Final = {
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
    """Normalises a column's name for comparison: lower case, words separated by `_`.

    Examples:
        >>> folded(" Created At"), folded("raw-body")
        ('created_at', 'raw_body')
    """
    return re.sub(r"[\s-]+", "_", name.strip().strip("\ufeff\u200b").lower())


def squeezed(name: str) -> str:
    """Normalises a column's name further, for comparison with common names: letters and digits in lower case.

    Examples:
        >>> squeezed("Date/Time"), squeezed("url.original"), squeezed("CsUriStem"), squeezed("TimeGenerated [UTC]")
        ('datetime', 'urloriginal', 'csuristem', 'timegeneratedutc')
    """
    return re.sub(r"[\W_]+", "", folded(name))


def guess_columns(
    names: list[str], rows: Sequence[Mapping[str, Any]], settings: Settings
) -> tuple[tuple[str, str], ...]:
    """Guesses which column holds which part of a request.

    Args:
        names: The table's column names.
        rows: Sample rows, column -> value. Missing and empty values are ignored.
        settings: The user's settings; columns that the user named take precedence.

    Returns:
        (role, column) pairs. If the columns are the parameters themselves, only a time column and columns that the user
        named.
    """
    user_columns = {role: name for role, name in settings.columns if name in names}
    columns = {**_columns_by_name(names, rows), **user_columns}
    if not _CONTENT_PATTERNS.keys() & columns.keys():
        found = next((name for name in names if _is_mostly(_OBJECT, _texts(rows, name))), None)
        columns = {**columns, "payload": found} if found else columns
    if not _CONTENT_PATTERNS.keys() & columns.keys():
        return tuple(
            (role, name) for role, name in columns.items() if role in user_columns or folded(name) == "received_at"
        )
    return tuple(columns.items())


def are_parameters(names: Iterable[str]) -> bool:
    """Whether columns are named like parameters: one that identifies a conversion, or two parameters of any kind."""
    identities = {"clickid", "click", "refid", "ref", "email"}
    plain = {folded(name).replace("_", "") for name in names}
    return bool(plain & identities) or len(plain & _PARAMETERS) >= 2


def _columns_by_name(names: list[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Finds a column for each role by common names; content columns must also look like the content."""
    by_name = {squeezed(name): name for name in reversed(names)}
    found: dict[str, str] = {}
    for role, guesses in GUESSES.items():
        candidates = list(dict.fromkeys(by_name[name] for guess in guesses if (name := squeezed(guess)) in by_name))
        if role in _CONTENT_PATTERNS:
            filled = {name: texts for name in candidates if (texts := _texts(rows, name))}
            candidates = [
                name for name in candidates if name not in filled or _is_mostly(_CONTENT_PATTERNS[role], filled[name])
            ]
            candidates.sort(key=lambda name: name not in filled)
        if candidates:
            found[role] = candidates[0]
    return found


def _texts(rows: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Returns the non-blank texts of a column; an object counts as `{}`."""
    values = (row.get(name) for row in rows)
    texts = ("{}" if isinstance(value, dict) else json_codec.scalar(value) or "" for value in values)
    return [text for text in texts if text.strip()]


def _is_mostly(pattern: re.Pattern[str], texts: list[str]) -> bool:
    """Whether more than half of the texts begin with a match of the pattern."""
    return sum(bool(pattern.match(text)) for text in texts) * 2 > len(texts)


def read_row(row: Mapping[str, Any], settings: Settings) -> Record:
    """Turns a table row into a record.

    If the settings name a column of requests, that column is parsed. Otherwise the columns are the parameters.

    Args:
        row: Column -> value, without missing and empty values.
        settings: The user's settings, with the columns of the table.

    Examples:
        >>> read_row({"id": "1", "body": '{"click_id": "a"}'}, Settings(columns=(("payload", "body"),))).body
        '{"click_id": "a"}'
        >>> read_row({"click_id": "a", "value": "1"}, Settings()).fields
        {'click_id': 'a', 'value': '1'}
    """
    columns = dict(settings.columns)
    if "token_id" in row and row.get("type") in ("email", "dns"):
        return Record("not_a_request")
    if not _CONTENT_PATTERNS.keys() & columns.keys():
        time = columns.get("received_at", "")
        fields = {name: value for name, value in row.items() if name != time}
        return Record(received_at=_instant(row.get(time), settings), fields=json_codec.without_surrogates(fields))
    roles = {ROLES[role]: row[name] for role, name in columns.items() if name in row}
    record = record_of(roles, ParseOptions(time=settings.time, zone=settings.timezone, is_pathless=True))
    if "request" in columns and record.fault is None and record.path is None:
        return record._replace(fault="not_a_request")
    is_bin = "token_id" in row and (record.path or "").strip("/") == row["token_id"]
    return record._replace(path=None) if is_bin else record


def _instant(value: Any, settings: Settings) -> datetime | None:
    """Returns the instant of a cell; None if it is not a time."""
    text = json_codec.scalar(value)
    return instant_of(text, settings.time, settings.timezone) if text else None
