"""What an input is, by its first 64 KB and some samples further on: a majority of its records decides."""

from __future__ import annotations

import io
import re
from collections import Counter
from typing import Final, NamedTuple

from etl.columnar import json_codec
from etl.columnar.delimited_rows import DELIMITERS
from etl.errors import FormatError
from etl.sources.format import BLOCKS, DOCUMENTS, HEADED, LINES, MESSAGES, TABLE_ROWS, Format, Settings
from etl.sources.formats.queue_messages import unwrapped
from etl.sources.formats.registry import BARE_DOCUMENTS, BARE_LINES, BY_NAME, FAMILIES, FORMATS, framing_of, rows_of
from etl.sources.formats.unsupported import refusal_of
from etl.sources.framing import Frame, read_batches
from etl.sources.readers import csv_tables, json_records, plain_text, w3c
from etl.sources.readers.access_log import not_a_record
from etl.sources.readers.escapes import without_prefix

_JSON_START: Final = re.compile(rb"\s*(?:\[\s*(?:[\[{\"\]]|$)|\{)")
_BOM: Final = b"\xef\xbb\xbf"

#: Families whose lines are told one by one.
_BY_LINE: Final = tuple(
    name for name, family in FAMILIES.items() if family.framing in (LINES, HEADED) and name not in ("json", "custom")
)


class Detected(NamedTuple):
    """What an input is.

    Attributes:
        row: Its format.
        framing: How it is cut into records.
        columns: Of a table, role -> column.
    """

    row: Format
    framing: str
    columns: tuple[tuple[str, str], ...] = ()


class Sample(NamedTuple):
    """Some bytes of an input: the first, and whole lines from all samples."""

    head: bytes
    lines: list[bytes]


def detect(samples: tuple[bytes, ...], label: str, settings: Settings) -> Detected:
    """The format that most records of the samples are in; the first row for an input without any.

    Args:
        samples: The first bytes of the input, then some of places further on.
        label: What to call the input in messages.
        settings: A user's own formats come before those built in.

    Raises:
        FormatError: No record is in any known format, or they are in one that is refused.
    """
    sample = _sample(samples)
    refusal = refusal_of(sample.head, [line for line in sample.lines if line.strip()])
    if refusal:
        raise FormatError(f"{label} is {refusal.what}.", refusal.instead)
    headed = next(
        (row for line in sample.lines for row in w3c.FORMATS if line[:1] == b"#" and w3c.claims(row, line)), None
    )
    if headed:
        return Detected(headed, HEADED)
    content = [line for line in sample.lines if not_a_record(line) is None]
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
            f"{label} is in no known format: none of its first {len(content)} lines is.",
            "Say what it is with --format NAME or --log-format, or leave it out.",
        )
    return found


def as_said(row: Format, samples: tuple[bytes, ...], settings: Settings) -> Detected:
    """An input in the format that the user says, where the bytes still tell how it is cut, or which columns it has."""
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
    """Whole lines only: the last of the first sample, and the first and last of the others, may be cut."""
    head = samples[0].removeprefix(_BOM)
    lines = head.split(b"\n")
    if len(lines) > 1 and not head.endswith(b"\n"):
        lines.pop()
    for later in samples[1:]:
        lines += later.split(b"\n")[1:-1]
    return Sample(head, [line.removesuffix(b"\r") for line in lines])


def _records(head: bytes, framing: str, delimiter: str = ",", container: tuple[str, ...] = ()) -> list[bytes]:
    """The whole records at the beginning of an input."""
    frame = Frame(framing, 0, len(head), max(len(head), 1), container, delimiter)
    records = [text for batch in read_batches(io.BytesIO(head), frame) for text in batch.texts()]
    return records[:-1] if len(records) > 1 and not head.endswith((b"\n", b"}", b"]")) else records


def _detect_json(head: bytes, content: list[bytes], settings: Settings) -> Detected:
    rows = rows_of("json", settings)
    container = json_records.container_of(head, rows)
    if container:
        held = tuple(row for row in rows if row.container == container)
        return Detected(_most_claimed(held, _records(head, DOCUMENTS, container=container)) or held[0], DOCUMENTS)
    framing = _json_framing(head, content)
    records = (
        _records(head, DOCUMENTS) if framing == DOCUMENTS else [one for line in content for one in unwrapped(line)]
    )
    bare = BARE_DOCUMENTS if framing == DOCUMENTS else BARE_LINES
    return Detected(_most_claimed(rows, records) or bare, framing)


def _json_framing(head: bytes, lines: list[bytes]) -> str:
    objects = [line for line in lines if _is_object(line)]
    if head.lstrip().startswith(b"[") or len(objects) * 2 < len([line for line in lines if line.strip()]):
        return DOCUMENTS
    return MESSAGES if any(unwrapped(line) != [line] for line in objects) else LINES


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json_codec.parse(json_codec.repaired(line)), dict)
    except json_codec.JsonError:
        return False


def _most_claimed(rows: tuple[Format, ...], records: list[bytes]) -> Format | None:
    """The row that claims most records, if it is a tenth of them at least: logs hold other events too."""
    family = FAMILIES[rows[0].family]
    votes = Counter(next((row.name for row in rows if family.claims(row, record)), "") for record in records)
    votes.pop("", None)
    if len(votes) > 1:
        votes.pop("log_event", None)
    best = max(votes, key=lambda name: votes[name], default=None)
    return next((row for row in rows if row.name == best), None) if best and votes[best] * 10 >= len(records) else None


def _detect_table(sample: Sample, settings: Settings) -> Detected | None:
    for row in csv_tables.FORMATS:
        framing = framing_of(row)
        records = _records(sample.head, framing, DELIMITERS.get(row.name, "\t"))
        columns = csv_tables.sample_columns(row, records, settings)
        if columns is not None:
            return Detected(row, framing, columns)
    return None


def _detect_text(head: bytes, content: list[bytes], settings: Settings) -> Detected | None:
    """The family that claims most lines, and of it the row that does; blocks that dates begin, if they are more."""
    best: tuple[int, Format | None] = (0, None)
    for name in _BY_LINE:
        votes = Counter[str]()
        for line in map(without_prefix, content) if FAMILIES[name].is_shipped else content:
            votes.update(row.name for row in rows_of(name, settings) if FAMILIES[name].claims(row, line))
        if votes.total() > best[0]:
            top = max(votes, key=lambda one: votes[one])
            best = votes.total(), next(row for row in rows_of(name, settings) if row.name == top)
    blocks = _records(head, BLOCKS)
    dated = BY_NAME["dated_json"]
    claimed = sum(plain_text.claims_dated(dated, block) for block in blocks)
    if claimed * 2 >= len(blocks) and claimed > best[0]:
        return Detected(dated, BLOCKS)
    return Detected(best[1], framing_of(best[1])) if best[1] else None
