"""Parses batches of JSON records: all regular payloads and envelopes at once, other records one by one.

A regular record is an object that `json_index` can split, without repeated names, and that no format's marks may claim.
A regular envelope also has no `query` or status key. The family's reader parses all other records. Both paths give the
same rows; a property test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from etl.columnar import json_tokenizer
from etl.columnar.factorize import factorize_spans, map_distinct
from etl.columnar.field_lists import FIELD
from etl.columnar.json_index import JsonValues
from etl.columnar.string_buffers import Positions, lists_of, malformed_spans
from etl.rules.value_parsing import instants
from etl.schema import REQUESTS
from etl.sources.readers.webhook_envelopes import ADDRESS_KEYS, is_envelope, may_hold_address
from etl.sources.record import Record, as_columns, split_target
from etl.sources.records.lines import Batch

#: Kinds of records, judged by the names of their members.
_IRREGULAR, _BARE, _ENVELOPE = range(3)

_NOTHING: Final = np.empty(0, np.int64)

_TARGET: Final = pl.Struct({"path": pl.String, "query": pl.String})


class _JsonRecords:
    """The records of a batch as an index of JSON values.

    `is_regular` says which records are regular so far; later steps may still mark records irregular. `payload_members`
    holds the members of bare payloads, `envelope_members` the members of envelopes by name.
    """

    def __init__(self, batch: Batch, is_claimed: Callable[[tuple[str, ...]], bool]) -> None:
        self.buffer = batch.buffer
        self.values, self.is_regular = JsonValues.of(batch.buffer, batch.starts, batch.ends)
        self.is_regular[list(batch.oversized)] = False
        self.is_regular[malformed_spans(batch.buffer, batch.starts, batch.ends)] = False
        records = np.flatnonzero(self.values.parents < 0)
        self.is_regular[self.values.rows[records[self.values.kinds[records] != json_tokenizer.OBJECT]]] = False
        members = self.values.children_of(records)
        kinds = _kinds_of(self.values, members, len(batch.starts), is_claimed)
        self.is_regular &= kinds != _IRREGULAR
        self.is_envelope = kinds == _ENVELOPE
        kinds = np.where(self.is_regular, kinds, _IRREGULAR)[self.values.rows[members]]
        self.payload_members = members[kinds == _BARE]
        self.envelope_members = self.values.group_by_name(members[kinds == _ENVELOPE])

    def column(self, name: str) -> pl.Series:
        """Returns each envelope's value under a name as text; null if it is missing, empty or not a scalar."""
        return self.texts(self.envelope_members.get(name, _NOTHING))

    def texts(self, members: Positions) -> pl.Series:
        """Returns the values of members as text, at most one per record; null as in `column`."""
        sent = members[self.values.kinds[members] <= json_tokenizer.NUMBER]
        sent = sent[self.values.ends[sent] > self.values.starts[sent]]
        return self.values.column(self.buffer, sent, len(self.is_regular))

    def inner(self, name: str) -> Positions:
        """Returns the members of the objects that are the envelopes' values under a name."""
        held = self.envelope_members.get(name, _NOTHING)
        return self.values.children_of(held[self.values.kinds[held] == json_tokenizer.OBJECT])

    def user_agent(self) -> pl.Series:
        """Returns the User-Agent header of envelopes; letter case of the name does not matter."""
        headers = self.values.group_by_name(self.inner("headers"))
        agents = [found for name, found in headers.items() if name.lower() == "user-agent"]
        first = np.sort(np.concatenate([_NOTHING, *agents]))
        first = first[np.diff(self.values.rows[first], prepend=-1) > 0]
        self.is_regular[self.values.rows[first[self.values.kinds[first] > json_tokenizer.NULL]]] = False
        return self.texts(first)

    def body(self) -> pl.Series:
        """Returns the text bodies of envelopes; envelopes with a number, truth value or array as body are irregular."""
        bodies = self.envelope_members.get("body", _NOTHING)
        is_irregular = np.isin(
            self.values.kinds[bodies], (json_tokenizer.SCALAR, json_tokenizer.NUMBER, json_tokenizer.ARRAY)
        )
        self.is_regular[self.values.rows[bodies[is_irregular]]] = False
        return self.column("body")

    def fields(self) -> pl.Series:
        """Returns the fields of bare payloads and of envelope bodies that are objects; null for other records."""
        values = self.values
        bodies = self.envelope_members.get("body", _NOTHING)
        has_fields = ~self.is_envelope
        has_fields[values.rows[bodies[values.kinds[bodies] == json_tokenizer.OBJECT]]] = True
        sent = np.sort(np.concatenate([self.payload_members, self.inner("body")]), kind="stable")
        sent = sent[values.kinds[sent] != json_tokenizer.NULL]
        fields = pl.DataFrame(
            {
                "name": values.names.gather(values.numbers[sent]),
                "text": values.texts(self.buffer, sent),
                "is_structure": values.kinds[sent] >= json_tokenizer.OBJECT,
            },
            schema={field.name: field.dtype for field in FIELD.fields},
        )
        lengths = np.bincount(values.rows[sent], minlength=len(has_fields))
        return lists_of(fields.to_struct(), lengths, ~has_fields & (lengths == 0))


def read_batch(
    batch: Batch, read: Callable[[int], Record], is_claimed: Callable[[tuple[str, ...]], bool]
) -> dict[str, pl.Series]:
    """Parses a batch of records: regular records at once, irregular records one by one.

    Args:
        batch: The records.
        read: Parses the irregular record at an index of the batch.
        is_claimed: Returns whether a record with these top-level names may be in a format with marks.

    Returns:
        The columns of `schema.REQUESTS` that a JSON record can fill, except lineage.
    """
    objects = _JsonRecords(batch, is_claimed)
    sent = {name: objects.column(name) for name in ("received_at", "method", *ADDRESS_KEYS)}
    targets = [_targets(objects.column(name)) for name in ("url", "path")]
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(batch.starts))
    columns = {
        "fault": nothing,
        "fault_message": nothing,
        "received_at": instants(sent["received_at"]),
        "http_method": sent["method"],
        "http_status": nothing.cast(pl.Int32),
        "client_ip": pl.select(pl.coalesce(sent[name] for name in ADDRESS_KEYS)).to_series(),
        "user_agent": objects.user_agent(),
        "path": targets[0]["path"].fill_null(targets[1]["path"]),
        "query": targets[0]["query"].fill_null(targets[1]["query"]),
        "body": objects.body(),
        "fields": objects.fields(),
        "query_fields": nothing.cast(REQUESTS.schema["query_fields"]),
    }
    slow = np.flatnonzero(~objects.is_regular)
    if not len(slow):
        return columns
    exact = as_columns([read(i) for i in slow.tolist()])
    places = np.arange(len(batch.starts))
    places[slow] = np.arange(len(slow)) + len(batch.starts)
    return {
        name: pl.concat([column, exact[name]], rechunk=True)[places]
        if column.dtype.is_nested()
        else column.clone().scatter(slow, exact[name])
        for name, column in columns.items()
    }


def _kinds_of(
    values: JsonValues, members: Positions, height: int, is_claimed: Callable[[tuple[str, ...]], bool]
) -> Positions:
    """Returns the kind of each record. Records with the same sequence of names are judged once."""
    offsets = np.append(0, np.cumsum(np.bincount(values.rows[members], minlength=height)))
    numbers_of_names = values.numbers[members]
    firsts, numbers = factorize_spans(numbers_of_names.view(np.uint8), 4 * offsets[:-1], 4 * offsets[1:])
    names = values.names.to_list()

    def kind_of(record: int) -> int:
        keys = {names[number]: None for number in numbers_of_names[offsets[record] : offsets[record + 1]]}
        has_envelope_keys = is_envelope(keys)
        if is_claimed(tuple(keys)) or (
            has_envelope_keys and not keys.keys().isdisjoint(("query", "status", "http_status"))
        ):
            return _IRREGULAR
        if has_envelope_keys:
            return _ENVELOPE
        return _IRREGULAR if may_hold_address(keys) else _BARE

    return np.array([kind_of(record) for record in firsts], np.int64)[numbers]


def _targets(texts: pl.Series) -> pl.DataFrame:
    """Splits request targets into path and query; empty queries become null."""

    def split(text: str) -> dict[str, str | None]:
        path, query = split_target(text.encode())
        return {"path": path, "query": query or None}

    return map_distinct(texts, split, _TARGET).struct.unnest()
