"""Cuts records whose body is a JSON array into one record an element, where the ruleset says so (rules 1.3, 10.3).

The raw text of such a record says which element it is. It is an envelope of the request with the element as its body;
where the array is the whole record, it holds the element alone. So it can be read again without the others.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.rules.body_faults import BYTE_ORDER_MARK, not_an_object
from etl.sources.readers.webhook_envelopes import open_envelope, read_value
from etl.sources.record import Record, as_columns

_ARRAY: Final = f"^{BYTE_ORDER_MARK}?[ \\t\\r\\n]*\\["
_ELEMENT: Final = re.compile(r'\{"element":"([0-9]+ of [0-9]+)"')

#: How the message begins where the record itself is an array (`not_an_object`).
_OF_RECORD: Final = "The record "

#: The columns of a request that stand in the envelope of an element as they are, by the envelope's keys.
_KEYS: Final = {"http_method": "method", "http_status": "status", "client_ip": "client_ip"}

#: Columns of which the envelope is made.
_OF_REQUESTS: Final = (*_KEYS, "received_at", "path", "query", "query_fields", "user_agent")


class ArrayElement(NamedTuple):
    """An element of an array: its number from 1, the number of all, and its value."""

    number: int
    total: int
    value: Any

    @property
    def place(self) -> str:
        """Which element it is, for people."""
        return f"{self.number} of {self.total}"


def split_arrays(columns: dict[str, pl.Series], collect_path: str) -> dict[str, pl.Series]:
    """Returns the columns of a batch with one row an element where a body is an array with elements.

    Args:
        columns: Columns of `schema.REQUESTS`: those that a reader fills, with raw, byte_offset and layout.
        collect_path: Template of a postback's path.
    """
    bodies, fault = columns["body"], columns["fault"]
    is_array = bodies.str.contains(_ARRAY) & (fault.is_null() | (fault == "malformed_body"))
    read = {i: _elements(bodies[i]) for i in is_array.fill_null(value=False).arg_true().to_list()}
    found = {i: elements for i, elements in read.items() if elements}
    if not found:
        return columns
    counts = np.ones(len(bodies), np.int64)
    counts[list(found)] = list(map(len, found.values()))
    rows = np.repeat(np.arange(len(bodies)), counts)
    places = np.flatnonzero(np.isin(rows, list(found)))
    requests = pl.DataFrame([columns[name].alias(name) for name in _OF_REQUESTS])[list(found)].to_dicts()
    is_whole = columns["fault_message"].str.starts_with(_OF_RECORD).fill_null(value=False)
    values = [
        _whole(element) if is_whole[i] else _envelope(element, request)
        for (i, elements), request in zip(found.items(), requests, strict=True)
        for element in elements
    ]
    exact = as_columns([_record(value, collect_path) for value in values])
    exact["received_at"] = exact["received_at"].fill_null(columns["received_at"].gather(rows[places]))
    exact["raw"] = pl.Series(list(map(json_codec.compact, values)), dtype=pl.String)
    exact["layout"] = pl.Series([None], dtype=pl.String).new_from_index(0, len(values))
    joint = rows.copy()
    joint[places] = np.arange(len(places)) + len(bodies)
    return {
        name: pl.concat([held, exact[name]], rechunk=True).gather(joint) if name in exact else held.gather(rows)
        for name, held in columns.items()
    }


def element_of(raw: str) -> str | None:
    """Returns which element of an array a raw record is; None if it is no such record.

    Examples:
        >>> element_of('{"element":"2 of 3","body":{"click_id":"a"}}'), element_of('{"click_id":"a"}')
        ('2 of 3', None)
    """
    found = _ELEMENT.match(raw)
    return found[1] if found else None


def read_element(raw: str, collect_path: str) -> Record | None:
    """Reads the raw record of an element; None if it is no such record."""
    if element_of(raw) is None:
        return None
    try:
        value = json_codec.parse(raw.encode("utf-8", "surrogateescape"))
    except json_codec.JsonError:
        return None
    return None if value.keys().isdisjoint(("body", "record")) else _record(value, collect_path)


def _elements(body: str) -> list[ArrayElement]:
    """Returns the elements of a body; none if it is no JSON array."""
    try:
        value = json_codec.parse(body.removeprefix(BYTE_ORDER_MARK).encode())
    except json_codec.JsonError:
        return []
    held = value if isinstance(value, list) else []
    return [ArrayElement(number, len(held), one) for number, one in enumerate(held, 1)]


def _record(value: dict[str, Any], collect_path: str) -> Record:
    """Returns the record of an element, from what its raw text holds."""
    key = "record" if "record" in value else "body"
    if not isinstance(value[key], dict):
        fault = not_an_object(value[key], f"element {value['element']}")
        return open_envelope({**value, "body": None})._replace(fault="malformed_body", fault_message=fault)
    return read_value(value[key], collect_path) if key == "record" else open_envelope(value)


def _whole(element: ArrayElement) -> dict[str, Any]:
    """Returns what the raw record of an element holds where the array is a whole record."""
    return {"element": element.place, "record": element.value}


def _envelope(element: ArrayElement, request: dict[str, Any]) -> dict[str, Any]:
    """Returns the envelope of an element."""
    envelope: dict[str, Any] = {"element": element.place}
    if request["received_at"] is not None:
        envelope["received_at"] = request["received_at"].isoformat()
    envelope |= {key: request[name] for name, key in _KEYS.items() if request[name] is not None}
    if request["path"] is not None:
        envelope["path"] = request["path"] + ("" if request["query"] is None else f"?{request['query']}")
    elif request["query"]:
        envelope["query"] = request["query"]
    if request["query_fields"]:
        envelope["query"] = _query(request["query_fields"])
    if request["user_agent"] is not None:
        envelope["headers"] = {"User-Agent": request["user_agent"]}
    return {**envelope, "body": element.value}


def _query(fields: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the fields of a query as the object that they came from; a repeated name has a list."""
    values: dict[str, list[Any]] = {}
    for field in fields:
        value = json_codec.parse(field["text"].encode()) if field["is_structure"] else field["text"]
        values.setdefault(field["name"], []).append(value)
    return {name: held[0] if len(held) == 1 else held for name, held in values.items()}
