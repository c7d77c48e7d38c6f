"""Completes records that were carried: their carrier's time, and what their carrier shows of them (rules 1.3b)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.columnar.factorize import map_distinct
from etl.rules.ruleset import word_of
from etl.schema import INSTANT
from etl.sources.carriers.joining import Joiner
from etl.sources.carriers.known_carriers import Claims, levels_of
from etl.sources.carriers.opening import Level, Opened, Opener
from etl.sources.carriers.table_carriers import NAMED, Cells, named_level, zone_of
from etl.sources.format import Format, Settings
from etl.sources.formats.registry import BY_NAME, FAMILIES, claimant_of, rows_of
from etl.sources.readers import address_in_line
from etl.sources.readers.csv_tables import CellReader, start_cells, start_copied_cells
from etl.sources.readers.request_fields import instant_of
from etl.sources.readers.second_records import is_second_record
from etl.sources.record import Record
from etl.sources.records.lines import Batch

#: How a record of a log or a payload begins. Any other text without the collect path is an application's own line.
_HEAD: Final = re.compile(
    rb"\{|\[\s*[\[{\"]|\[\d\d/[A-Z][a-z]{2}/\d{4}[: ]|\"[A-Z]{3,7} (?:/|https?://)| HTTP/\d|^\w[\w.-]*=[^\s&]*&"
)

#: The grammars of tables whose cells may carry records, by the names of their formats.
GRAMMARS: Final[dict[str, Callable[[str, Settings], CellReader]]] = {
    "csv": start_cells,
    "tsv": start_cells,
    "semicolon": start_cells,
    "postgres_copy": start_copied_cells,
}

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
        yield from (Opened(batch, batch, [], [], {}) for batch in batches)
        return
    opener = opener_of(row, settings, carriers)
    for carrier in next(iter(levels_of(carriers)), ()):
        if carrier.pieces:
            batches = _joined(batches, Joiner(carrier, limit))
    yield from map(opener.open, batches)


def opener_of(row: Format | None, settings: Settings, carriers: tuple[str, ...]) -> Opener:
    """Returns the opener for an input's carriers. Of a table, it must get the rows in order.

    Args:
        row: The format of what is carried.
        settings: The user's settings, with the columns of a table.
        carriers: The names of the carriers at each depth.
    """
    first = first_level(carriers[0], settings) if carriers else None
    return Opener(levels_of(carriers[1:] if first else carriers), own_claims(row, settings), first)


def _joined(batches: Iterator[Batch], joiner: Joiner) -> Iterator[Batch]:
    """Yields batches of joined records."""
    yield from map(joiner.feed, batches)
    yield joiner.finish()


def own_claims(row: Format | None, settings: Settings) -> Callable[[bytes], bool] | None:
    """Returns whether a whole record is in a format of the user, which comes before carriers; None without any."""
    own = [*settings.formats, *((row,) if row and row.family == "custom" else ())]
    claims = [(FAMILIES[held.family].claims, held) for held in own]
    return (lambda record: any(claim(held, record) for claim, held in claims)) if own else None


def first_level(carrier: str, settings: Settings) -> Level | None:
    """Returns the level of a table's cells, or of the key that the user named; None for any other carrier."""
    columns = dict(settings.columns)
    if carrier in GRAMMARS:
        return Cells(GRAMMARS[carrier](carrier, settings), columns)
    return named_level(columns) if carrier == NAMED else None


def carried_settings(settings: Settings, carriers: tuple[str, ...]) -> Settings:
    """Returns the settings for what is carried: the columns of a table are not those of the records in its cells."""
    return settings._replace(columns=()) if carriers and first_level(carriers[0], settings) else settings


def outermost_row(row: Format, carriers: tuple[str, ...]) -> Format:
    """Returns the format of the table whose cells carry records in a format; the format itself if there is none."""
    return BY_NAME[carriers[0]] if carriers and carriers[0] in GRAMMARS else row


def complete(columns: dict[str, pl.Series], opened: Opened, settings: Settings) -> dict[str, pl.Series]:
    """Completes the columns of carried records.

    A time that a record does not say is its carrier's. A carrier without text is malformed. A carried text that no
    format reads, and that has neither the head of a record nor a collect path, is not a request.
    """
    if not opened.times:
        return columns
    received, fault = columns["received_at"], columns["fault"]
    sent = [json_codec.without_surrogates(time) for time in opened.times]
    times = pl.Series(sent, dtype=pl.String).set(received.is_not_null(), None)
    if times.null_count() < len(times):
        zone = zone_of(dict(settings.columns).get("received_at", ""), settings.timezone)
        found = map_distinct(times, lambda text: instant_of(text, settings.time, zone), INSTANT)
        received = received.fill_null(found)
    is_carried = np.array(opened.is_carried, bool)
    unread = np.flatnonzero(is_carried & (fault == "malformed_record").fill_null(value=False).to_numpy())
    word = word_of(settings.collect_path).encode()
    lines = [
        i
        for i in unread.tolist()
        if not _is_record(opened.records, i, word)
        and not is_second_record(Record("malformed_record", columns["fault_message"][i]))
    ]
    places, faults = list(opened.faults), list(opened.faults.values())
    message = columns["fault_message"].scatter(lines, None)
    message = message.scatter(places, pl.Series([held.fault_message for held in faults], dtype=pl.String))
    fault = fault.scatter(lines, "not_a_request")
    fault = fault.scatter(places, pl.Series([held.fault for held in faults], dtype=pl.String))
    return {**columns, "received_at": received, "fault": fault, "fault_message": message}


def _is_record(records: Batch, i: int, word: bytes) -> bool:
    """Whether a text has the head of a record, a payload or a collect path."""
    text = records.buffer[records.starts[i] : records.ends[i]].tobytes()
    return i in records.oversized or word in text or bool(_HEAD.search(text))


def claims_of(settings: Settings, row: Format | None) -> Claims:
    """Returns what formats say of a text that a carrier may hold."""
    has_own = settings.formats or (row is not None and row.family == "custom")
    return _claims(settings, row) if has_own else _known_claims(settings)


@lru_cache(maxsize=4)
def _known_claims(settings: Settings) -> Claims:
    """Returns what built-in formats say of a text, made once for all inputs."""
    return _claims(settings, None)


def _claims(settings: Settings, row: Format | None) -> Claims:
    """Returns what formats say of a text."""
    word = word_of(settings.collect_path).encode()
    own = own_claims(row, settings) or (lambda _record: False)
    names = ("json", *_CARRIED_TEXTS)
    claimants = {
        name: claimant_of(tuple(held for held in rows_of(name, settings) if held.name != "log_event")) for name in names
    }

    def claims(name: str, record: bytes) -> bool:
        return claimants[name](record) is not None

    def is_known(text: bytes) -> bool:
        """Whether a text is an object or in a known format. A query alone must have two parameters."""
        is_target = b"?" in text or b"&" in text
        return is_object(text) or any(
            claims(name, text) for name in _CARRIED_TEXTS if name != "plain_text" or is_target
        )

    def is_log(text: bytes) -> bool:
        """Whether a text is a record of a log, or of a capture of requests."""
        names = ("json",) if text[:1] == b"{" else ("access_log", "text")
        return any(claims(name, text) for name in names)

    def is_whole(text: bytes) -> bool:
        """Whether a text is a line whose format has its own words before the request."""
        return text[:1] != b"{" and claims("text", text)

    def is_request(text: bytes) -> bool:
        """Whether a text is a request by itself: an object, or a time with an address."""
        return claims("json" if text[:1] == b"{" else "plain_text", text)

    def is_free(text: bytes) -> bool:
        """Whether a text is a line in no format that can be read by its address."""
        return word in text and address_in_line.claims(text, settings)

    return Claims(own, is_whole, is_request, is_known, is_log, is_free)


def is_object(line: bytes) -> bool:
    """Whether a line is a JSON object."""
    try:
        return isinstance(json_codec.parse(json_codec.repair_escapes(line)), dict)
    except json_codec.JsonError:
        return False
