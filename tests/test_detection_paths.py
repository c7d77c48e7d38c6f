"""What detection does quickly, and the slow way that it must agree with."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.columnar import json_codec
from etl.sources import detection
from etl.sources.carriers import known_carriers
from etl.sources.carriers.known_carriers import CARRIERS
from etl.sources.format import BLOCKS, HEADED, TABLE_ROWS
from etl.sources.formats.registry import FORMATS
from etl.sources.readers.json_records import claimant, claims
from tests import adversary
from tests.effort import draws

#: Records of all formats and carriers, some of which are JSON, and of the adversary.
RECORDS = [
    *(sample for row in FORMATS for sample in row.samples),
    *(sample for row in CARRIERS for sample, _ in row.samples),
    *(line for seed in range(draws(2, 20)) for line in adversary.json_lines(seed, 60).splitlines()),
]
JSON_FORMATS = tuple(row for row in FORMATS if row.family == "json")


def merged(records: list[bytes]) -> bytes:
    """One object with the members of several."""
    values = [json_codec.parse(record) for record in records]
    return json_codec.dump(reduce(lambda one, other: {**one, **other}, values, {})).encode("utf-8", "replace")


OBJECTS = [record for record in RECORDS if record[:1] == b"{" and json_codec.is_json(record)]


@settings(max_examples=draws(80, 1_000), deadline=None)
@given(st.lists(st.sampled_from(OBJECTS), min_size=1, max_size=3).map(merged))
def test_the_first_format_that_claims_a_record_is_found_by_its_keys(record: bytes) -> None:
    for rows in (JSON_FORMATS, JSON_FORMATS[::-1]):
        assert claimant(rows)(record) is next((row for row in rows if claims(row, record)), None)


def test_the_first_format_that_claims_a_sample_is_found_by_its_keys() -> None:
    first = claimant(JSON_FORMATS)
    for record in RECORDS:
        assert first(record) is next((row for row in JSON_FORMATS if claims(row, record)), None)


@settings(max_examples=draws(80, 1_000), deadline=None)
@given(st.lists(st.sampled_from(OBJECTS), min_size=1, max_size=3).map(merged))
def test_the_carriers_that_may_hold_an_object_are_those_that_hold_it(record: bytes) -> None:
    for is_clear in (True, False):
        every = known_carriers._LEVELS[is_clear, True]
        tried = known_carriers._levels_for(record, is_clear=is_clear, is_object=True)
        assert [row for row, level in tried if level.step(record)] == [
            row for row, level in every if level.step(record)
        ]


#: What ends lines, quotes cells, dates blocks and stands at edges.
PIECES = [b"a", b",", b'"', b'""', b"\n", b"\r\n", b"\r", b"\0", b"\xef\xbb\xbf", b"\t", b"2024-05-01 12:00:00 {", b"}"]


@pytest.mark.parametrize("framing", [HEADED, TABLE_ROWS, BLOCKS])
@settings(max_examples=draws(100, 1_000), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join))
def test_lines_are_records_where_each_is_one_in_another_framing(framing: str, head: bytes) -> None:
    for delimiter in ",\t":
        lines = detection._lines_as_records(head, framing, delimiter)
        assert lines is None or lines == detection._cut(head, framing, delimiter)
