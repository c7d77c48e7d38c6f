"""Parses webhook dumps: JSON records that are bare payloads, or envelopes with a body or a query (the contract)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from etl.columnar import json_codec
from etl.rules.body_faults import not_an_object
from etl.rules.page import COLLECT_PATH, WHITE_SPACE
from etl.rules.ruleset import Ruleset
from etl.rules.value_parsing import read_instant
from etl.sources.readers.second_records import second_message
from etl.sources.record import Record, split_target

_REQUEST_KEYS: Final = frozenset(("method", "path", "url", "headers", "received_at"))

#: Envelope keys for the address of the request, in order of precedence.
_TARGET_KEYS: Final = dict.fromkeys(("url", "path", "uri", "target", "request_uri"))

#: Envelope keys for the sender's address, the likeliest first.
ADDRESS_KEYS: Final = ("client_ip", "remote_addr", "remote_ip", "ip")


def read_record(text: bytes, collect_path: str = COLLECT_PATH) -> Record:
    """Parses one JSON record: an envelope or a bare payload.

    Args:
        text: The record.
        collect_path: Template of a postback's path.

    Source: the contract's "Envelopes and payloads"; rules 1.3.

    Examples:
        >>> read_record(b'{"click_id": "a"}').fields
        {'click_id': 'a'}
        >>> record = read_record(b'{"method": "POST", "path": "/a/collect/b", "body": "click_id=a"}')
        >>> record.http_method, record.path, record.body
        ('POST', '/a/collect/b', 'click_id=a')
        >>> read_record(b"[1]").fault, read_record(b"{").fault
        ('malformed_body', 'malformed_record')
    """
    try:
        value = json_codec.parse(text)
    except json_codec.JsonError:
        return Record("malformed_record", malformed_reason(text))
    return read_value(value, collect_path)


def read_value(value: Any, collect_path: str) -> Record:
    """Turns a parsed JSON value into a record: an envelope or a bare payload."""
    if not isinstance(value, dict):
        return Record("malformed_body", not_an_object(value, "record"), body=array_text(value))
    if is_envelope(value):
        return open_envelope(value)
    collect = _pattern(collect_path)
    targets = [target for target in _targets(value, _TARGET_KEYS) if collect.search(target[0])]
    return _open_envelope(value, targets) if targets else Record(fields=value)


def open_envelope(envelope: dict[str, Any]) -> Record:
    """Turns an envelope of the contract into a record."""
    return _open_envelope(envelope, list(_targets(envelope, ("url", "path"))))


def array_text(value: Any) -> str | None:
    """Returns the JSON text of an array, which a ruleset may read as records; None for other values."""
    return json_codec.compact(json_codec.without_surrogates(value)) if isinstance(value, list) else None


def is_envelope(value: dict[str, Any]) -> bool:
    """Whether an object is an envelope of the contract: it has a body or query, and a key such as method or path."""
    return ("body" in value or "query" in value) and not _REQUEST_KEYS.isdisjoint(value)


def may_hold_address(names: Collection[str]) -> bool:
    """Whether an object with these names may be an envelope whose serialiser left the body out (rules 1.3a)."""
    return not _TARGET_KEYS.keys().isdisjoint(names)


def _targets(value: dict[str, Any], keys: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yields path and query of the addresses that an object holds under the keys."""
    return (_target(text) for key in keys if (text := _text(value.get(key))))


@lru_cache(maxsize=16)
def _pattern(collect_path: str) -> re.Pattern[str]:
    return re.compile(Ruleset(collect_path=collect_path).collect_pattern)


def _open_envelope(envelope: dict[str, Any], targets: list[tuple[str, str | None]]) -> Record:
    """Turns an envelope into a record; of its addresses, the first path counts, and the first query."""
    query = envelope.get("query")
    query_fields = pairs(query) if query and isinstance(query, dict) else None
    query_text = (_text(query) or "").removeprefix("?")
    body, fields, fault = _body(envelope.get("body"))
    headers = envelope.get("headers")
    status = envelope.get("status", envelope.get("http_status"))
    return Record(
        fault="malformed_body" if fault else None,
        fault_message=fault,
        received_at=_instant(envelope.get("received_at")),
        http_method=_text(envelope.get("method")),
        http_status=status if isinstance(status, int) and 0 <= status < 1000 else None,
        client_ip=next((text for key in ADDRESS_KEYS if (text := _text(envelope.get(key)))), None),
        user_agent=_header(headers, "user-agent") if isinstance(headers, dict) else None,
        path=targets[0][0] if targets else None,
        query=query_text
        if query_text.strip(WHITE_SPACE)
        else (None if query_fields else next((sent for _, sent in targets if sent), None)),
        query_fields=query_fields,
        body=body,
        fields=fields,
    )


@lru_cache(maxsize=4096)
def _target(text: str) -> tuple[str, str | None]:
    return split_target(text.encode())


def _body(body: Any) -> tuple[str | None, dict[str, Any] | None, str | None]:
    """Returns the body as text, as an object, and what is wrong with it: an array has a text and is no object."""
    if isinstance(body, dict):
        return None, body, None
    if body is None or isinstance(body, str):
        return body or None, None, None
    return array_text(body), None, not_an_object(body)


def pairs(query: dict[str, Any]) -> list[tuple[str, Any]]:
    """Returns the parameters of a query given as an object; a list of scalars is a repeated parameter."""
    return [
        (name, item)
        for name, value in query.items()
        for item in (value if isinstance(value, list) and not any(map(json_codec.is_structure, value)) else [value])
    ]


def _header(headers: dict[str, Any], name: str) -> str | None:
    """Returns a header's value, or the first of several; letter case of the name does not matter."""
    value = next((value for key, value in headers.items() if key.lower() == name), None)
    return _text(value[0] if isinstance(value, list) and value else value)


def _text(value: Any) -> str | None:
    """Returns the text of a scalar; None if it is empty or not a scalar."""
    return json_codec.scalar(value) or None


def _instant(value: Any) -> datetime | None:
    """Returns the instant of a JSON scalar; None if it is not a time."""
    text = json_codec.scalar(value)
    return read_instant(text) if text else None


#: An object that begins where no value can: behind another value, or within a name or text.
_SECOND: Final = re.compile(rb"(?<=[^:,\[\s])\s{0,9}(?P<object>\{)\s{0,9}\"")


#: How JSON begins; a time in brackets begins no array.
_JSON_START: Final = re.compile(rb"\s*(?:\{|\[\s*(?:[\[{\"\]]|$))")


def malformed_reason(text: bytes) -> str:
    """Explains why a record is not valid JSON."""
    if not _JSON_START.match(text):
        return "Not JSON: it begins with neither { nor ["
    second = _SECOND.search(text, 1)
    if second:
        return second_message(second.start("object"))
    return (
        "Not valid JSON" if text.rstrip()[-1:] in (b"}", b"]") else "Not valid JSON: cut off before its closing bracket"
    )
