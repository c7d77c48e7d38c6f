"""JSON records, all regular envelopes and bare payloads of a batch at once.

A record is regular that `json_loops` splits, that no format's marks may claim, and that has no `query` of its own. Any
other goes the slow way, by the family's reader. Both give the same rows; a property test holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Self

import numpy as np
import orjson
import polars as pl

from etl import byte_loops, json_loops
from etl.distinct import numbered, on_distinct
from etl.lists import lists_of
from etl.schema import FIELD, REQUESTS
from etl.sources.dumps import ADDRESS_KEYS, is_envelope
from etl.sources.lines import Batch
from etl.sources.requests import Record, as_columns, split_target
from etl.spans import Bytes, Positions, Truths, malformed_spans, sound_texts, texts_of
from etl.values import instants

#: What a record is, by the names of its members.
_IRREGULAR, _BARE, _ENVELOPE = range(3)

_TARGET: Final = pl.Struct({"path": pl.String, "query": pl.String})


class _Members(NamedTuple):
    """The members of JSON objects, ascending by object; `rows` counts objects, `kinds` are of `json_loops`."""

    rows: Positions
    names: pl.Series
    numbers: Positions
    starts: Positions
    ends: Positions
    kinds: Positions

    @classmethod
    def of(cls, buffer: Bytes, starts: Positions, ends: Positions) -> tuple[Self, Truths]:
        """The members of spans that are regular objects, and which these are."""
        is_regular = np.zeros(len(starts), np.uint8)
        members = np.empty((6, int(np.count_nonzero(buffer == ord(":")))), np.int64)
        count = json_loops.split_objects(buffer.data, starts, ends, members, is_regular.data)
        rows, name_starts, name_ends, *values = members[:, :count]
        names, numbers = numbered(texts_of(buffer, name_starts, name_ends))
        aligned = numbers.to_numpy().astype(np.int64)
        json_loops.find_repeated(rows, aligned, np.full(len(names), -1, np.int64), is_regular.data)
        return cls(rows, names, aligned, *values), is_regular.astype(np.bool_)

    def at(self, index: Positions | Truths) -> Self:
        """Some of them."""
        return self._replace(**{name: getattr(self, name)[index] for name in self._fields if name != "names"})

    def named(self, names: Iterable[str]) -> Self:
        """Those of some names, the first of each object."""
        found = self.at(self.names.is_in(list(names)).to_numpy().astype(np.bool_)[self.numbers])
        return found.at(np.unique(found.rows, return_index=True)[1])

    def texts(self, buffer: Bytes, is_regular: Truths) -> pl.Series:
        """The text of each value; objects with texts that are no Unicode are irregular."""
        escaped = np.flatnonzero(self.kinds == json_loops.ESCAPED)
        decoded = []
        for i in escaped.tolist():
            try:
                decoded.append(orjson.loads(buffer[self.starts[i] - 1 : self.ends[i] + 1].tobytes()))
            except orjson.JSONDecodeError:
                decoded.append("")
                is_regular[self.rows[i]] = False
        texts = sound_texts(buffer, self.starts, self.ends)
        return texts.scatter(escaped, pl.Series(decoded, dtype=pl.String)) if len(escaped) else texts


class _Objects:
    """The records of a batch, and which are regular so far."""

    def __init__(self, batch: Batch, is_claimed: Callable[[tuple[str, ...]], bool]) -> None:
        self.buffer = batch.buffer
        self.members, self.is_regular = _Members.of(batch.buffer, batch.starts, batch.ends)
        self.is_regular[list(batch.oversized)] = False
        self.is_regular[malformed_spans(batch.buffer, batch.starts, batch.ends)] = False
        kinds = _kinds_of(self.members, len(batch.starts), is_claimed)
        self.is_regular &= kinds != _IRREGULAR
        self.is_envelope = kinds == _ENVELOPE
        self.members = self.members.at(self.is_regular[self.members.rows])
        self.envelopes = self.members.at(self.is_envelope[self.members.rows])

    def column(self, members: _Members) -> pl.Series:
        """What members hold, one a record; null where there is none, or no text, or an empty one."""
        sent = members.at(members.kinds <= json_loops.SCALAR)
        texts = sent.texts(self.buffer, self.is_regular)
        column = pl.Series([None], dtype=pl.String).new_from_index(0, len(self.is_regular))
        return column.scatter(sent.rows, texts.set(texts == "", None))

    def inner(self, name: str) -> _Members:
        """The members of the objects that envelopes hold under a name."""
        held = self.envelopes.named([name])
        held = held.at(held.kinds == json_loops.OBJECT)
        members, is_regular = _Members.of(self.buffer, held.starts, held.ends)
        self.is_regular[held.rows[~is_regular]] = False
        return members._replace(rows=held.rows[members.rows])

    def user_agent(self) -> pl.Series:
        """The header of that name, in any case."""
        headers = self.inner("headers")
        agents = headers.named(headers.names.filter(headers.names.str.to_lowercase() == "user-agent"))
        self.is_regular[agents.rows[agents.kinds > json_loops.NULL]] = False
        return self.column(agents)

    def body(self) -> pl.Series:
        """The body of envelopes, where it is text."""
        bodies = self.envelopes.named(["body"])
        self.is_regular[bodies.rows[np.isin(bodies.kinds, (json_loops.SCALAR, json_loops.ARRAY))]] = False
        return self.column(bodies)

    def fields(self) -> pl.Series:
        """The fields of bare payloads and of bodies that are objects."""
        bodies = self.envelopes.named(["body"])
        has_fields = ~self.is_envelope
        has_fields[bodies.rows[bodies.kinds == json_loops.OBJECT]] = True
        bare = self.members.at(~self.is_envelope[self.members.rows])
        parts = [part.at(part.kinds != json_loops.NULL) for part in (bare, self.inner("body"))]
        texts = [part.texts(self.buffer, self.is_regular) for part in parts]
        rows = np.concatenate([part.rows for part in parts])
        fields = pl.DataFrame(
            {
                "name": pl.concat([part.names.gather(part.numbers) for part in parts]),
                "text": pl.concat(texts),
                "is_structure": np.concatenate([part.kinds >= json_loops.OBJECT for part in parts]),
            },
            schema={field.name: field.dtype for field in FIELD.fields},
        )
        if all(len(part.rows) for part in parts):
            order = np.argsort(rows, kind="stable")
            fields, rows = fields[order], rows[order]
        lengths = np.bincount(rows, minlength=len(has_fields))
        return lists_of(fields.to_struct(), lengths, ~has_fields & (lengths == 0))


def read_batch(
    batch: Batch, read: Callable[[int], Record], is_claimed: Callable[[tuple[str, ...]], bool]
) -> dict[str, pl.Series]:
    """The records of a batch, regular ones the fast way.

    Args:
        batch: The records.
        read: Reads the irregular record of an index.
        is_claimed: Whether a record with members of these names may be in a format of its own.

    Returns:
        The columns of `schema.REQUESTS` that a JSON record can fill, but lineage.
    """
    objects = _Objects(batch, is_claimed)
    sent = {name: objects.column(objects.envelopes.named([name])) for name in ("received_at", "method", *ADDRESS_KEYS)}
    targets = [_targets(objects.column(objects.envelopes.named([name]))) for name in ("url", "path")]
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
        name: pl.concat([column, exact[name]])[places]
        if column.dtype.is_nested()
        else column.clone().scatter(slow, exact[name])
        for name, column in columns.items()
    }


def _kinds_of(members: _Members, height: int, is_claimed: Callable[[tuple[str, ...]], bool]) -> Positions:
    """What each record is, judged once for each sequence of names."""
    offsets = np.append(0, np.cumsum(np.bincount(members.rows, minlength=height)))
    sequences = np.ascontiguousarray(members.numbers.astype(np.int32)).view(np.uint8)
    firsts, numbers = np.empty(height, np.int64), np.empty(height, np.int32)
    slots = np.full(1 << (2 * height).bit_length(), -1, np.int32)
    count = byte_loops.number_texts(sequences.data, 4 * offsets, slots, firsts, numbers)
    names = members.names.to_list()

    def kind_of(record: int) -> int:
        keys = {names[number]: None for number in members.numbers[offsets[record] : offsets[record + 1]]}
        is_one = is_envelope(keys)
        if is_claimed(tuple(keys)) or (is_one and not keys.keys().isdisjoint(("query", "status", "http_status"))):
            return _IRREGULAR
        return _ENVELOPE if is_one else _BARE

    return np.array([kind_of(record) for record in firsts[:count]], np.int64)[numbers]


def _targets(texts: pl.Series) -> pl.DataFrame:
    """Path and query of request targets; the query is null where it is empty."""

    def split(text: str) -> dict[str, str | None]:
        path, query = split_target(text.encode())
        return {"path": path, "query": query or None}

    return on_distinct(texts, split, _TARGET).struct.unnest()
