"""Every format: its samples are read by its reader, found by detection, and claimed by no other format."""

from __future__ import annotations

import io

import pytest

from etl.sources.detection import detect
from etl.sources.format_rows import Format, Settings
from etl.sources.formats import FAMILIES, FORMATS, framing_of, start_reader
from etl.sources.framing import Frame, read_batches
from etl.sources.tables import DELIMITERS

SAMPLES = [pytest.param(row, sample, id=f"{row.name} {i}") for row in FORMATS for i, sample in enumerate(row.samples)]


def claimants(record: bytes) -> list[str]:
    return [row.name for row in FORMATS if FAMILIES[row.family].claims(row, record)]


@pytest.mark.parametrize(("row", "sample"), SAMPLES)
def test_a_format_claims_its_samples_and_no_other_does(row: Format, sample: bytes) -> None:
    first = sample if row.family != "table" else sample.partition(b"\n")[0]
    assert claimants(first) == ([row.name] if row.name != "jsonl" else [])


@pytest.mark.parametrize(("row", "sample"), SAMPLES)
def test_a_sample_alone_is_found_to_be_in_its_format(row: Format, sample: bytes) -> None:
    assert detect((sample + b"\n",), "sample", Settings()).row.name == row.name


@pytest.mark.parametrize(("row", "sample"), SAMPLES)
def test_a_format_reads_its_samples(row: Format, sample: bytes) -> None:
    frame = Frame(framing_of(row), 0, len(sample), len(sample), row.container, DELIMITERS.get(row.name, ","))
    read = start_reader(row, Settings())
    records = [read(text) for batch in read_batches(io.BytesIO(sample), frame) for text in batch.texts()]
    assert {record.fault for record in records} <= {None, "not_a_request", "header", "comment"}
