"""What tests of carriers share: texts of every format, records that carry them, and the requests of an input."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import polars as pl
import pytest

from etl.columnar import json_codec
from etl.sources.carriers.carrier import Carrier
from etl.sources.detection import Detected, detect
from etl.sources.format import Settings
from etl.sources.formats.registry import FORMATS
from etl.sources.splits import Split, read_split
from etl.sources.storage.surveys import survey

#: Formats of one line or one JSON value; a table, and what a header names, is more than a line.
CARRIED: Final = tuple(row for row in FORMATS if row.family in ("access_log", "json", "text", "plain_text"))
TEXTS: Final = [
    pytest.param(row, sample, id=f"{row.name} {i}")
    for row in CARRIED
    for i, sample in enumerate(row.samples)
    if b"\n" not in sample and not row.container
]

#: What a record is, without its place.
PARTS: Final = (
    *("fault", "http_method", "http_status", "client_ip", "user_agent", "path", "query", "body", "fields"),
    "query_fields",
)


def wrap(row: Carrier, text: bytes, number: int = 0) -> bytes:
    """A record of a carrier that carries a text: its sample with another text in it."""
    record, (carried,) = row.samples[number % len(row.samples)]
    if row.prefix:
        is_carried = text[:1] == b"{" or row.name != "fluentd"
        return record.removesuffix(carried) + text if is_carried else b""
    if b64encode(carried) in record:
        return record.replace(b64encode(carried), b64encode(text))
    if b":" + carried in record:
        return record.replace(b":" + carried, b":" + text) if text[:1] == b"{" and json_codec.is_json(text) else b""
    written = text.decode("utf-8", "surrogateescape")
    for before, after in (
        (json.dumps(carried.decode() + "\n"), json.dumps(written + "\n")),
        (json.dumps(carried.decode()), json.dumps(written)),
    ):
        for form in (before, before.replace('": "', '":"')):
            if form.encode() in record:
                return record.replace(form.encode(), after.encode("utf-8", "surrogateescape"))
    return b""


def requests_of(data: bytes, folder: Path, found: Detected | None = None) -> tuple[Detected, pl.DataFrame]:
    """The requests of an input, and what it was found to be, unless that is known."""
    path = folder / "input"
    path.write_bytes(data)
    surveyed = survey(path, "input", 1 << 24)
    found = found or detect(surveyed.samples, "input", Settings())
    place = (surveyed.starts[0], surveyed.plain_bytes, 1, found.row, found.framing)
    settings = Settings(columns=found.columns)
    split = Split("input", surveyed.digest, path, surveyed.codec, *place, settings, 1 << 20, carriers=found.carriers)
    return found, pl.concat(frame for frame, _ in read_split(split))


@cache
def parts_alone(sample: bytes) -> dict[str, Any]:
    """What a sample is if nothing carries it, and when it was received."""
    with TemporaryDirectory() as folder:
        _, alone = requests_of(sample + b"\n", Path(folder))
    (row,) = alone.select(*PARTS, "received_at").to_dicts()
    return row


def assert_alike(carried: dict[str, Any], sample: bytes, *about: object) -> None:
    """A request is what its sample is alone, received when the sample says, if that says it."""
    alone = parts_alone(sample)
    names = PARTS if alone["received_at"] is None else (*PARTS, "received_at")
    assert {name: carried[name] for name in names} == {name: alone[name] for name in names}, about


#: A line of a log that can be carried.
LINE: Final = '192.0.2.1 - - [01/May/2024:12:00:01 +0000] "GET /acme/collect/shop?click_id=a{} HTTP/1.1" 200 2'
