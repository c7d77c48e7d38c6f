"""Every format: its samples are read by its reader, found by detection, and claimed by no other format."""

from __future__ import annotations

import io
import random
from pathlib import Path

import polars as pl
import pytest

import etl
from etl.columnar.delimited_rows import DELIMITERS
from etl.errors import EtlError
from etl.sources.detection import detect
from etl.sources.format import Format, Settings
from etl.sources.formats.registry import FAMILIES, FORMATS, framing_of, start_reader
from etl.sources.framing import StreamPart, read_batches
from etl.sources.planning import ReadOptions, find_format, plan_splits
from etl.sources.splits import read_split
from etl.sources.storage.inputs import Input
from etl.sources.storage.surveys import survey
from tests.effort import thorough

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
    frame = StreamPart(framing_of(row), 0, len(sample), len(sample), row.container, DELIMITERS.get(row.name, ","))
    read = start_reader(row, Settings())
    records = [read(text) for batch in read_batches(io.BytesIO(sample), frame) for text in batch.texts()]
    assert {record.fault for record in records} <= {None, "not_a_request", "header", "comment"}


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Bytes of a log with a few places overwritten, cut out, or doubled."""
    text = bytearray(data)
    for _ in range(chance.randint(0, 8)):
        place = chance.randrange(len(text) + 1)
        new = chance.choice(
            (b"", b'"', b"\\", b"\xff", b"\0", b"\n", b"\t", b"{", b"}", b"[", b",", b"%", b"#", b" ", b"-")
        )
        text[place : place + chance.randint(0, 3)] = new
    return bytes(text)


def damaged_input(row: Format, seed: int, folder: Path) -> tuple[Path, str]:
    """A damaged input of a format, and the name of the format that its reader is given."""
    chance = random.Random(f"{row.name} {seed}")
    records = [chance.choice(row.samples) for _ in range(chance.randint(1, 30))]
    path = folder / "input"
    path.write_bytes(damaged(b"\n".join(records), chance))
    return path, chance.choice(("auto", row.name))


SAMPLED = [row for row in FORMATS if row.samples]


def test_what_is_damaged_is_read_or_refused_and_every_record_is_in_one_place(tmp_path: Path) -> None:
    """Each format is read apart, and all are transformed together: the way is the costly part."""
    frames = []
    for row in SAMPLED:
        path, name = damaged_input(row, 0, tmp_path)
        item, surveyed = Input("input", path), survey(path, "input", 1 << 24)
        try:
            found = find_format(item, surveyed.codec, surveyed.samples, ReadOptions(name))
            splits = list(plan_splits(item, surveyed, found, ReadOptions(name)))
            frames += [frame for split in splits for frame, _ in read_split(split)]
        except EtlError:
            continue
        except Exception as error:
            raise AssertionError(f"damaged {row.name}, read as {name}") from error
    requests = pl.concat(frames)
    tables = etl.transform(requests, etl.Ruleset(), etl.Options(account="a", integration="b"))
    placed = tables.conversions.height + tables.rejections.height + tables.skipped["count"].sum()
    assert requests.height == placed > len(SAMPLED)


@thorough
@pytest.mark.parametrize("row", SAMPLED, ids=lambda row: row.name)
def test_whatever_is_damaged_every_record_is_in_one_place_or_the_input_is_refused(row: Format, tmp_path: Path) -> None:
    for seed in range(2):
        path, name = damaged_input(row, seed, tmp_path)
        try:
            summary = etl.run([path], tmp_path / "out", format=name, account="a", integration="b")
        except EtlError:
            continue
        ended = summary["conversions"] + summary["rejections"]["total"] + summary["skipped"]["total"]
        assert summary["records"] == ended > 0
