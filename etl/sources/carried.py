"""Completes records that were carried: their carrier's time, and what their carrier shows of them (rules 1.3b)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.columnar.factorize import map_distinct
from etl.schema import INSTANT
from etl.sources.carriers.joining import Joiner
from etl.sources.carriers.known_carriers import Claims, levels_of
from etl.sources.carriers.opening import Opened, Opener
from etl.sources.format import Format, Settings
from etl.sources.formats.registry import FAMILIES, rows_of
from etl.sources.readers.request_fields import instant_of
from etl.sources.records.lines import Batch

#: The word of a collect path, if the ruleset names none.
_WORD: Final = b"/collect/"

#: How a record of a log or a payload begins. Any other text without the collect path is an application's own line.
_HEAD: Final = re.compile(
    rb"\s*(?:\{|\[\s*[\[{\"])|\[\d\d/[A-Z][a-z]{2}/\d{4}[: ]|\"[A-Z]{3,7} (?:/|https?://)| HTTP/\d|^\w[\w.-]*=[^\s&]*&"
)
_EMPTY: Final = "Its carrier holds no text"

#: Families whose records show what carries them.
_CARRIED_TEXTS: Final = ("plain_text", "access_log", "text", "w3c", "dated_json")


def opened_batches(
    batches: Iterator[Batch], row: Format, settings: Settings, carriers: tuple[str, ...], limit: int
) -> Iterator[Opened]:
    """Opens the carriers of an input: joins pieces, and yields what the records carry.

    Args:
        batches: The records of a split, in order.
        row: The format of what is carried.
        settings: The user's settings.
        carriers: The names of the input's carriers at each depth; without any, the batches stay as they are.
        limit: Joined records longer than this are oversized.
    """
    if not carriers:
        yield from (Opened(batch, batch, [], [], []) for batch in batches)
        return
    levels = levels_of(carriers)
    opener = Opener(levels, own_claims(row, settings))
    for carrier in levels[0]:
        if carrier.pieces:
            batches = _joined(batches, Joiner(carrier, limit))
    yield from map(opener.open, batches)


def _joined(batches: Iterator[Batch], joiner: Joiner) -> Iterator[Batch]:
    """Yields batches of joined records."""
    yield from map(joiner.feed, batches)
    yield joiner.finish()


def own_claims(row: Format | None, settings: Settings) -> Callable[[bytes], bool] | None:
    """Returns whether a whole record is in a format of the user, which comes before carriers; None without any."""
    own = [*settings.formats, *((row,) if row and row.family == "custom" else ())]
    claims = [(FAMILIES[held.family].claims, held) for held in own]
    return (lambda record: any(claim(held, record) for claim, held in claims)) if own else None


def complete(columns: dict[str, pl.Series], opened: Opened, settings: Settings) -> dict[str, pl.Series]:
    """Completes the columns of carried records.

    A time that a record does not say is its carrier's. A carrier without text is malformed. A carried text that no
    format reads, and that has neither the head of a record nor a collect path, is not a request.
    """
    if not opened.times:
        return columns
    received, fault = columns["received_at"], columns["fault"]
    times = pl.Series(opened.times, dtype=pl.String).set(received.is_not_null(), None)
    if times.null_count() < len(times):
        found = map_distinct(times, lambda text: instant_of(text, zone=settings.timezone), INSTANT)
        received = received.fill_null(found)
    is_carried, is_empty = np.array(opened.is_carried, bool), np.array(opened.is_empty, bool)
    unread = np.flatnonzero(is_carried & (fault == "malformed_record").fill_null(value=False).to_numpy())
    lines = [i for i in unread.tolist() if not _is_record(opened.records, i, settings.word or _WORD)]
    empty = np.flatnonzero(is_empty).tolist()
    message = columns["fault_message"].scatter(lines, None).scatter(empty, _EMPTY)
    fault = fault.scatter(lines, "not_a_request").scatter(empty, "malformed_record")
    return {**columns, "received_at": received, "fault": fault, "fault_message": message}


def _is_record(records: Batch, i: int, word: bytes) -> bool:
    """Whether a text has the head of a record, a payload or a collect path."""
    text = records.buffer[records.starts[i] : records.ends[i]].tobytes()
    return i in records.oversized or word in text or bool(_HEAD.search(text))


def claims_of(settings: Settings, row: Format | None) -> Claims:
    """Returns what formats say of a text that a carrier may hold."""
    own = own_claims(row, settings) or (lambda _record: False)
    names = ("json", *_CARRIED_TEXTS)
    rows = {name: [held for held in rows_of(name, settings) if held.name != "log_event"] for name in names}

    def claims(name: str, record: bytes) -> bool:
        return any(FAMILIES[name].claims(held, record) for held in rows[name])

    def is_known(text: bytes) -> bool:
        """Whether a text is an object or in a known format. A query alone must have two parameters."""
        is_target = b"?" in text or b"&" in text
        return is_object(text) or any(
            claims(name, text) for name in _CARRIED_TEXTS if name != "plain_text" or is_target
        )

    def is_whole(text: bytes) -> bool:
        """Whether a text is a line whose format has its own words before the request."""
        return text[:1] != b"{" and claims("text", text)

    def is_request(text: bytes) -> bool:
        """Whether a text is a request by itself: an object, or a time with an address."""
        return claims("json" if text[:1] == b"{" else "plain_text", text)

    return Claims(own, is_whole, is_request, is_known)


def is_object(line: bytes) -> bool:
    """Whether a line is a JSON object."""
    try:
        return isinstance(json_codec.parse(json_codec.repair_escapes(line)), dict)
    except json_codec.JsonError:
        return False
