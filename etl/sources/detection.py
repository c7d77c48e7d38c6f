"""Detects an input's format from samples: its first 64 KB and some later blocks.

The format that matches the most sampled records wins.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from etl.columnar.delimited_rows import DELIMITERS, row_patterns
from etl.errors import UnknownInputError
from etl.sources.carried import claims_of, is_object
from etl.sources.carriers.known_carriers import CARRIERS, keeps_lines, recognised
from etl.sources.carriers.opening import Level
from etl.sources.carriers.table_carriers import NAMED
from etl.sources.format import BLOCKS, DOCUMENTS, HEADED, LINES, MESSAGES, PARQUET, TABLE_ROWS, Format, Settings
from etl.sources.formats.registry import (
    BARE_DOCUMENTS,
    BARE_LINES,
    BY_NAME,
    FAMILIES,
    FORMATS,
    claimant_of,
    framing_of,
    is_free_text,
    rows_of,
)
from etl.sources.formats.unsupported import find_unsupported
from etl.sources.framing import StreamPart, read_batches
from etl.sources.readers import address_in_line, csv_tables, json_matching, json_records, plain_text, w3c
from etl.sources.readers.access_log import blank_or_comment
from etl.sources.readers.text_lines import without_colours
from etl.sources.readers.timestamps import DATED
from etl.sources.record_columns import RecordColumns, exported_records, guessed_records
from etl.sources.records.json_documents import may_hold, read_documents
from etl.sources.storage.surveys import SAMPLE_BYTES

_JSON_START: Final = re.compile(rb"[\s\x1e]*(?:\[\s*(?:[\[{\"\]]|$)|\{)")
_BOM: Final = b"\xef\xbb\xbf"

#: Families of text formats, which are detected line by line.
_BY_LINE: Final = tuple(
    name for name, family in FAMILIES.items() if family.framing in (LINES, HEADED) and name not in ("json", "custom")
)


#: `exported_records` or `guessed_records`.
RecordFinder = Callable[..., "RecordColumns | None"]
#: Lines that are compared with the formats of text before tables are looked for.
_LINES_COMPARED: Final = 20


class Detected(NamedTuple):
    """The format detected in an input.

    Attributes:
        row: The format.
        framing: How the bytes are cut into records: a framing constant of `sources.format`.
        columns: For tables: (role, column) pairs. Empty for other formats.
        carriers: The names of the carriers of the records, from the outside in.
        found: For lines that are read by their address: (part, place) pairs. Empty for other formats.
    """

    row: Format
    framing: str
    columns: tuple[tuple[str, str], ...] = ()
    carriers: tuple[str, ...] = ()
    found: tuple[tuple[str, str], ...] = ()


class Sample(NamedTuple):
    """The first bytes of an input, and the whole lines of all samples."""

    head: bytes
    lines: list[bytes]


def detect(samples: tuple[bytes, ...], label: str, settings: Settings) -> Detected:
    """Returns the format that matches the most sampled records; the first known format if there are no records.

    Args:
        samples: The first bytes of the input, then blocks from later places.
        label: The input's name in messages.
        settings: The user's settings; the user's own formats take precedence over built-in formats.

    Raises:
        UnknownInputError: No record matches a known format, or the format is known but not supported.
    """
    sample = _sample(samples)
    unsupported = find_unsupported(sample.head, [line for line in sample.lines if line.strip()])
    if unsupported:
        raise UnknownInputError(f"{label} is {unsupported.what}.", unsupported.advice)
    headed = next(
        (row for line in sample.lines for row in w3c.FORMATS if line[:1] == b"#" and w3c.claims(row, line)), None
    )
    if headed:
        return Detected(headed, HEADED)
    content = _content(sample.lines)
    if not content:
        return Detected(FORMATS[0], LINES)
    found = (
        _detect_exported(sample, settings)
        or _detect_carried(sample, settings)
        or (
            _detect_json(sample, content, settings)
            if _starts_json(sample.head, content)
            else _detect_cells(sample, settings, guessed_records)
            or _detect_table(sample, settings)
            or _detect_text(sample.head, content, settings)
        )
    )
    if found is None:
        raise UnknownInputError(
            f"{label} is in no known format: none of its first {len(content)} lines matches one.",
            "Name its format with --format NAME or --log-format, or the path of its postbacks with --collect-path.",
        )
    return found


def _content(lines: list[bytes]) -> list[bytes]:
    """Returns the lines that are neither blank nor comments."""
    return [line for line in lines if blank_or_comment(line) is None]


def _starts_json(head: bytes, lines: list[bytes]) -> bool:
    """Whether an input is JSON: it begins so, or most of its lines do."""
    return bool(_JSON_START.match(head)) or sum(line.startswith(b"{") for line in lines) * 2 > len(lines)


def assume_format(row: Format, samples: tuple[bytes, ...], settings: Settings) -> Detected:
    """Returns the format that the user named, with the framing, columns and carriers that the samples show."""
    sample = _sample(samples)
    exported = _detect_exported(sample, settings, row)
    if exported:
        return exported
    if framing_of(row) in (LINES, HEADED) or row == BARE_DOCUMENTS:
        framing, carriers, _ = _carriers(sample, settings, row)
        if carriers:
            return Detected(row, framing, carriers=carriers)
    if row.family == "json" and row not in (BARE_LINES, BARE_DOCUMENTS) and _JSON_START.match(sample.head):
        if row.container and json_records.container_of(sample.head, (row,)):
            return Detected(row, DOCUMENTS)
        return Detected(row, _json_framing(sample.head, sample.lines))
    if row.family in ("table", "copy"):
        records = _records(sample.head, TABLE_ROWS, DELIMITERS.get(row.name, "\t"))
        return Detected(row, framing_of(row), csv_tables.sample_columns(row, records, settings) or settings.columns)
    return Detected(row, framing_of(row))


def _sample(samples: tuple[bytes, ...]) -> Sample:
    """Collects the whole lines of all samples.

    A sample may begin or end within a line. So the first sample loses its last line if that is cut off, and later
    samples lose their first and last lines.
    """
    head = samples[0].removeprefix(_BOM)
    if len(samples[0]) < SAMPLE_BYTES and head and not head.endswith(b"\n"):
        head += b"\n"
    lines = head.split(b"\n")
    if len(lines) > 1 and not head.endswith(b"\n"):
        lines.pop()
    for later in samples[1:]:
        lines += later.split(b"\n")[1:-1]
    is_coloured = b"\x1b[" in head
    return Sample(
        head, [without_colours(line.removesuffix(b"\r")) if is_coloured else line.removesuffix(b"\r") for line in lines]
    )


def _records(head: bytes, framing: str, delimiter: str = ",", container: tuple[str, ...] = ()) -> list[bytes]:
    """Cuts the beginning of an input into records, and drops the last record if it may be cut off."""
    records = _lines_as_records(head, framing, delimiter) or _cut(head, framing, delimiter, container)
    return records[:-1] if len(records) > 1 and not head.endswith((b"\n", b"}", b"]")) else records


def _lines_as_records(head: bytes, framing: str, delimiter: str) -> list[bytes] | None:
    """Returns the lines of the beginning of an input where each is a record, whatever the framing; else None."""
    if framing not in (HEADED, TABLE_ROWS, BLOCKS):
        return None
    lines = _cut(head, LINES)
    is_whole = row_patterns(delimiter).whole.fullmatch
    if framing == TABLE_ROWS and not all(map(is_whole, lines)):
        return None
    return None if framing == BLOCKS and any(map(DATED.match, lines)) else lines


@lru_cache(maxsize=8)
def _cut(head: bytes, framing: str, delimiter: str = ",", container: tuple[str, ...] = ()) -> list[bytes]:
    """Cuts the beginning of an input into records."""
    part = StreamPart(framing, 0, len(head), max(len(head), 1), container, delimiter)
    return [text for batch in read_batches(io.BytesIO(head), part) for text in batch.texts()]


def _detect_exported(sample: Sample, settings: Settings, row: Format | None = None) -> Detected | None:
    """Returns the format of what a table carries, or a key that the user named; None if it is no known export.

    Args:
        sample: The sampled records.
        settings: The user's settings.
        row: The format that the user named: of the table, or of what it carries.
    """
    content = _content(sample.lines)
    if not _starts_json(sample.head, content):
        return _detect_cells(sample, settings, exported_records, row)
    name = dict(settings.columns).get("record")
    if name is None:
        return None
    framing = _json_framing(sample.head, content)
    records = _records(sample.head, DOCUMENTS) if framing == DOCUMENTS else content
    objects = [value for record in records if isinstance(value := json_records.parsed(record), dict)]
    rows = [{name: json_matching.value_at(value, name) for _, name in settings.columns} for value in objects]
    found = exported_records([name for _, name in settings.columns], rows, claims_of(settings, row), settings)
    return _carried_by(NAMED, framing, found, settings, row) if found else None


def _detect_cells(sample: Sample, settings: Settings, find: RecordFinder, row: Format | None = None) -> Detected | None:
    """Returns the format of what a column of a table carries; None if there is no such column."""
    is_table = row is not None and row.family in ("table", "copy")
    carried = None if is_table else row
    claims = claims_of(settings, carried)
    for table in (row,) if row and is_table else csv_tables.FORMATS:
        framing = framing_of(table)
        records = _records(sample.head, framing, DELIMITERS.get(table.name, "\t"))
        sampled = csv_tables.sample_rows(table, records, settings)
        found = find(*sampled, claims, settings) if sampled else None
        if found:
            return _carried_by(table.name, framing, found, settings, carried)
    return None


def detect_rows(names: list[str], rows: list[dict[str, Any]], settings: Settings) -> Detected | None:
    """Returns the format of what a column of a Parquet file carries; None if there is no such column."""
    claims = claims_of(settings, None)
    found = exported_records(names, rows, claims, settings) or guessed_records(names, rows, claims, settings)
    return _carried_by(NAMED, PARQUET, found, settings) if found else None


def _carried_by(
    carrier: str, framing: str, found: RecordColumns, settings: Settings, row: Format | None = None
) -> Detected:
    """Returns the format of the records in a column."""
    held = row or _format_of(found.texts, settings)
    return Detected(held, framing, found.columns, (carrier, *found.carriers))


def _detect_json(sample: Sample, content: list[bytes], settings: Settings) -> Detected:
    """Returns the JSON format that matches the most records; bare payloads if no format matches enough."""
    head = sample.head
    rows = rows_of("json", settings)
    container = json_records.container_of(head, rows)
    if container:
        held = tuple(row for row in rows if row.container == container)
        return Detected(_most_claimed(held, _records(head, DOCUMENTS, container=container)) or held[0], DOCUMENTS)
    framing = _json_framing(head, content)
    records = _records(head, DOCUMENTS) if framing == DOCUMENTS else content
    found = _most_claimed(rows, records)
    if found:
        return Detected(found, framing)
    objects = [value for record in records if isinstance(value := json_records.parsed(record), dict)]
    names = list(dict.fromkeys(name for value in objects for name in value))
    column = guessed_records(names, objects, claims_of(settings, None), settings)
    if column:
        return _carried_by(NAMED, framing, column, settings)
    return Detected(BARE_DOCUMENTS if framing == DOCUMENTS else BARE_LINES, framing)


def _json_framing(head: bytes, lines: list[bytes]) -> str:
    """Returns DOCUMENTS for an array, for objects over several lines or behind separators (RFC 7464), else LINES."""
    objects = [line for line in lines if is_object(line)]
    is_array = head.lstrip().startswith((b"[", b"\x1e"))
    return DOCUMENTS if is_array or len(objects) * 2 < len([line for line in lines if line.strip()]) else LINES


def _carriers(
    sample: Sample, settings: Settings, row: Format | None = None
) -> tuple[str, tuple[str, ...], list[bytes]]:
    """Finds the carriers of the sampled records.

    Args:
        sample: The sampled records.
        settings: The user's settings.
        row: The format that the user named.

    Returns:
        How the input is cut into records, the names of the carriers, and what they carry.
    """
    content = _content(sample.lines)
    framing, records = LINES, content
    if _JSON_START.match(sample.head):
        container = _container(sample.head)
        framing = DOCUMENTS if container else _json_framing(sample.head, content)
        if framing == DOCUMENTS:
            records = _records(sample.head, DOCUMENTS, container=container)
    names, texts = recognised(records, claims_of(settings, row))
    if framing == LINES and not keeps_lines(names):
        framing = MESSAGES
    return framing, names, texts


def _container(head: bytes) -> tuple[str, ...]:
    """Returns the keys of the array in which a carrier writes its records; empty if the input is no such array."""
    for container in dict.fromkeys(row.container for row in CARRIERS if row.container):
        if not may_hold(head, container):
            continue
        elements = next(read_documents(io.BytesIO(head), len(head), container), [])
        level = Level(tuple(row for row in CARRIERS if row.container == container))
        if any(level.step(element.text) for element in elements[:2]):
            return container
    return ()


def _detect_carried(sample: Sample, settings: Settings) -> Detected | None:
    """Returns the format of what the sampled records carry; None if they have no carrier."""
    framing, carriers, texts = _carriers(sample, settings)
    if not carriers:
        return None
    return Detected(_format_of(texts, settings), framing, carriers=carriers)


def _format_of(texts: list[bytes], settings: Settings) -> Format:
    """Returns the format that matches the most carried texts; the first known format if none does."""
    content = _content(texts)
    rows = tuple(row for row in rows_of("json", settings) if row not in (BARE_LINES, BARE_DOCUMENTS))
    if _starts_json(b"", content):
        return _most_claimed(rows, content) or BARE_LINES
    detected = _detect_text(b"".join(text + b"\n" for text in content), content, settings)
    others = BARE_LINES if any(text.startswith(b"{") for text in content) else FORMATS[0]
    return detected.row if detected else _most_claimed(rows, content) or others


def _most_claimed(rows: tuple[Format, ...], records: list[bytes]) -> Format | None:
    """Returns the format that claims the most records; None if it claims less than a tenth of them.

    A tenth is enough because logs also hold other events.
    """
    claimed = map(claimant_of(rows), records)
    votes = Counter(row.name for row in claimed if row)
    if len(votes) > 1:
        votes.pop("log_event", None)
    best = max(votes, key=lambda name: votes[name], default=None)
    return next((row for row in rows if row.name == best), None) if best and votes[best] * 10 >= len(records) else None


def _detect_table(sample: Sample, settings: Settings) -> Detected | None:
    """Returns the first table format whose columns can be recognised in the sample; None if there is none.

    Lines in a format of text are no table, although some have JSON between tabs.
    """
    rows = rows_of("text", settings)
    lines = [line for line in sample.lines if line.strip()][:_LINES_COMPARED]
    if sum(any(FAMILIES["text"].claims(row, line) for row in rows) for line in lines) * 2 > len(lines):
        return None
    for row in csv_tables.FORMATS:
        framing = framing_of(row)
        records = _records(sample.head, framing, DELIMITERS.get(row.name, "\t"))
        columns = csv_tables.sample_columns(row, records, settings)
        if columns is not None:
            return Detected(row, framing, columns)
    return None


def _is_free_text(settings: Settings, _row: Format, line: bytes) -> bool:
    """Whether a line can be read by its address alone, by the user's collect path."""
    return is_free_text(line, settings)


def _detect_text(head: bytes, content: list[bytes], settings: Settings) -> Detected | None:
    """Returns the text format that claims the most lines; None if no line is claimed.

    Dated JSON blocks win if they are more than the claimed lines and at least half of all blocks.
    """
    best: tuple[int, Format | None] = (0, None)
    for name in _BY_LINE:
        if best[0] >= len(content):
            break
        rows, claims = rows_of(name, settings), FAMILIES[name].claims
        if name == "address_in_line":
            claims = partial(_is_free_text, settings)
        votes = Counter(row.name for line in content for row in rows if claims(row, line))
        if votes.total() > best[0]:
            top = max(votes, key=lambda name: votes[name])
            best = votes.total(), next(row for row in rows if row.name == top)
    blocks = _records(head, BLOCKS)
    dated = BY_NAME["dated_json"]
    claimed = sum(plain_text.claims_dated(dated, block) for block in blocks)
    if claimed * 2 >= len(blocks) and claimed > best[0]:
        return Detected(dated, BLOCKS)
    if best[1] != address_in_line.FORMAT:
        return Detected(best[1], framing_of(best[1])) if best[1] else None
    first = next(line for line in content if address_in_line.claims(line, settings))
    return Detected(best[1], LINES, found=address_in_line.describe(first, settings))
