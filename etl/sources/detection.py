"""Detects an input's format from samples: its first 64 KB and some later blocks.

The format that matches the most sampled records wins.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from typing import Final, NamedTuple

from etl.columnar import json_codec
from etl.columnar.delimited_rows import DELIMITERS
from etl.errors import FormatError
from etl.sources.format import BLOCKS, DOCUMENTS, HEADED, LINES, MESSAGES, TABLE_ROWS, Format, Settings
from etl.sources.formats.queue_messages import unwrap_messages
from etl.sources.formats.registry import BARE_DOCUMENTS, BARE_LINES, BY_NAME, FAMILIES, FORMATS, framing_of, rows_of
from etl.sources.formats.unsupported import find_unsupported
from etl.sources.framing import StreamPart, read_batches
from etl.sources.readers import address_in_line, csv_tables, json_records, plain_text, w3c
from etl.sources.readers.access_log import blank_or_comment
from etl.sources.readers.escapes import without_prefix

_JSON_START: Final = re.compile(rb"\s*(?:\[\s*(?:[\[{\"\]]|$)|\{)")
_BOM: Final = b"\xef\xbb\xbf"

#: Families of text formats, which are detected line by line.
_BY_LINE: Final = tuple(
    name for name, family in FAMILIES.items() if family.framing in (LINES, HEADED) and name not in ("json", "custom")
)


#: Lines that are compared with the formats of text before tables are looked for.
_LINES_COMPARED: Final = 20


class Detected(NamedTuple):
    """The format detected in an input.

    Attributes:
        row: The format.
        framing: How the bytes are cut into records: a framing constant of `sources.format`.
        columns: For tables: (role, column) pairs. Empty for other formats.
        found: For lines that are read by their address: (part, place) pairs. Empty for other formats.
    """

    row: Format
    framing: str
    columns: tuple[tuple[str, str], ...] = ()
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
        FormatError: No record matches a known format, or the format is known but not supported.
    """
    sample = _sample(samples)
    unsupported = find_unsupported(sample.head, [line for line in sample.lines if line.strip()])
    if unsupported:
        raise FormatError(f"{label} is {unsupported.what}.", unsupported.advice)
    headed = next(
        (row for line in sample.lines for row in w3c.FORMATS if line[:1] == b"#" and w3c.claims(row, line)), None
    )
    if headed:
        return Detected(headed, HEADED)
    content = [line for line in sample.lines if blank_or_comment(line) is None]
    if not content:
        return Detected(FORMATS[0], LINES)
    bare = [without_prefix(line) for line in content]
    starts_json = _JSON_START.match(sample.head) or sum(line.startswith(b"{") for line in bare) * 2 > len(bare)
    found = (
        _detect_json(sample.head, bare, settings)
        if starts_json
        else _detect_table(sample, settings) or _detect_text(sample.head, content, settings)
    )
    if found is None:
        raise FormatError(
            f"{label} is in no known format: none of its first {len(content)} lines matches one.",
            "Name its format with --format NAME or --log-format, or leave the file out.",
        )
    return found


def assume_format(row: Format, samples: tuple[bytes, ...], settings: Settings) -> Detected:
    """Returns the format that the user named, with the framing and the columns that the samples show."""
    sample = _sample(samples)
    if row in (BARE_LINES, BARE_DOCUMENTS):
        return Detected(row, framing_of(row))
    if row.family == "json" and _JSON_START.match(sample.head):
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
    lines = head.split(b"\n")
    if len(lines) > 1 and not head.endswith(b"\n"):
        lines.pop()
    for later in samples[1:]:
        lines += later.split(b"\n")[1:-1]
    return Sample(head, [line.removesuffix(b"\r") for line in lines])


def _records(head: bytes, framing: str, delimiter: str = ",", container: tuple[str, ...] = ()) -> list[bytes]:
    """Cuts the beginning of an input into records, and drops the last record if it may be cut off."""
    part = StreamPart(framing, 0, len(head), max(len(head), 1), container, delimiter)
    records = [text for batch in read_batches(io.BytesIO(head), part) for text in batch.texts()]
    return records[:-1] if len(records) > 1 and not head.endswith((b"\n", b"}", b"]")) else records


def _detect_json(head: bytes, content: list[bytes], settings: Settings) -> Detected:
    """Returns the JSON format that matches the most records; bare payloads if no format matches enough."""
    rows = rows_of("json", settings)
    container = json_records.container_of(head, rows)
    if container:
        held = tuple(row for row in rows if row.container == container)
        return Detected(_most_claimed(held, _records(head, DOCUMENTS, container=container)) or held[0], DOCUMENTS)
    framing = _json_framing(head, content)
    records = (
        _records(head, DOCUMENTS)
        if framing == DOCUMENTS
        else [record for line in content for record in unwrap_messages(line)]
    )
    bare = BARE_DOCUMENTS if framing == DOCUMENTS else BARE_LINES
    return Detected(_most_claimed(rows, records) or bare, framing)


def _json_framing(head: bytes, lines: list[bytes]) -> str:
    """Returns DOCUMENTS for an array or for objects over several lines, MESSAGES for queue messages, else LINES."""
    objects = [line for line in lines if _is_object(line)]
    if head.lstrip().startswith(b"[") or len(objects) * 2 < len([line for line in lines if line.strip()]):
        return DOCUMENTS
    return MESSAGES if any(unwrap_messages(line) != [line] for line in objects) else LINES


def _is_object(line: bytes) -> bool:
    """Whether a line is a JSON object."""
    try:
        return isinstance(json_codec.parse(json_codec.repair_escapes(line)), dict)
    except json_codec.JsonError:
        return False


def _most_claimed(rows: tuple[Format, ...], records: list[bytes]) -> Format | None:
    """Returns the format that claims the most records; None if it claims less than a tenth of them.

    A tenth is enough because logs also hold other events.
    """
    family = FAMILIES[rows[0].family]
    votes = Counter(next((row.name for row in rows if family.claims(row, record)), "") for record in records)
    votes.pop("", None)
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


def _detect_text(head: bytes, content: list[bytes], settings: Settings) -> Detected | None:
    """Returns the text format that claims the most lines; None if no line is claimed.

    Dated JSON blocks win if they are more than the claimed lines and at least half of all blocks.
    """
    best: tuple[int, Format | None] = (0, None)
    for name in _BY_LINE:
        votes = Counter[str]()
        for line in map(without_prefix, content) if FAMILIES[name].allows_prefix else content:
            votes.update(row.name for row in rows_of(name, settings) if FAMILIES[name].claims(row, line))
        if votes.total() > best[0]:
            top = max(votes, key=lambda name: votes[name])
            best = votes.total(), next(row for row in rows_of(name, settings) if row.name == top)
    blocks = _records(head, BLOCKS)
    dated = BY_NAME["dated_json"]
    claimed = sum(plain_text.claims_dated(dated, block) for block in blocks)
    if claimed * 2 >= len(blocks) and claimed > best[0]:
        return Detected(dated, BLOCKS)
    if best[1] != address_in_line.FORMAT:
        return Detected(best[1], framing_of(best[1])) if best[1] else None
    first = next(line for line in content if address_in_line.claims(line, settings))
    return Detected(best[1], LINES, found=address_in_line.describe(first, settings))
