"""The vectorised pipeline equals the row-at-a-time oracle, on adversarial records and on the samples."""

from __future__ import annotations

import gzip
import random
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.schema import TABLES
from tests import adversary, oracle
from tests.effort import draws, thorough
from tests.unwrapping import CARRIERS

SAMPLES = Path(__file__).parents[1] / "sample_data"
SEEDS = range(draws(1, 3))

#: Options of both, and how the oracle calls what the ruleset switches.
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the page": ({}, {}),
    "keep": ({"pii": "keep", "default_currency": "EUR", "account": "a", "integration": "i"}, {}),
    "drop": ({"pii": "drop"}, {}),
    "payload": (
        {},
        {"alias_order": "payload", "parameter_order": "body_first", "conversion_type_match": "trimmed"},
    ),
    "exact e-mail": ({}, {"email_identity": "exact", "dedup_scope": "transaction"}),
    "window": ({}, {"dedup_window": timedelta(hours=1)}),
    "no deduplication": ({}, {"dedup_scope": "off"}),
    "arrays": ({"account": "a"}, {"array_bodies": "records"}),
}


def ours(data: bytes, kind: str, options: dict[str, Any], switches: dict[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "input").write_bytes(data)
    ruleset = replace(etl.Ruleset(), **switches)
    read = {"format": adversary.FORMATS[kind], **options}
    summary = etl.run([folder / "input"], folder / "out", ruleset=ruleset, **read)
    tables = {table.name: pl.read_parquet(folder / "out" / table.name) for table in TABLES}
    numbers = dict(tables["conversions"].select("conversion_id", "record_no").iter_rows())
    conversions = tables["conversions"].drop("conversion_id", "source", "source_digest", "byte_offset").to_dicts()
    for row in conversions:
        row["issues"] = sorted({issue["code"] for issue in row["issues"]})
    rejections = tables["rejections"].to_dicts()
    for row in rejections:
        row["duplicate_of"] = numbers.get(row["duplicate_of"])
    return {
        "conversions": conversions,
        "rejections": rejections,
        "skipped": summary["skipped"]["by_reason"],
        "unrecognised": summary["unrecognised_parameters"],
        **{
            name: [{"record_no": numbers[row.pop("conversion_id")], **row} for row in tables[name].to_dicts()]
            for name in ("items", "passthroughs")
        },
    }


def assert_same_rows(got: list[dict[str, Any]], expected: list[dict[str, Any]], data: bytes, kind: str) -> None:
    lines = data.split(b"\n") if kind != "json" else []
    keys = [{row["record_no"] for row in rows} for rows in (got, expected)]
    for number in sorted(keys[0] ^ keys[1]):
        raise AssertionError(f"record {number} is on one side only: {lines[number - 1 : number]}")
    assert len(got) == len(expected)
    for row, want in zip(got, expected, strict=True):
        differing = {name: (row[name], value) for name, value in want.items() if _plain(row[name]) != _plain(value)}
        if "message" in differing and want["message"] is None:
            del differing["message"]
        assert not differing, (row["record_no"], differing, lines[row["record_no"] - 1 : row["record_no"]])


def _plain(value: Any) -> Any:
    return value.normalize() + 0 if isinstance(value, Decimal) and value.adjusted() < 20 else value


def check(data: bytes, kind: str, setting: str, folder: Path) -> None:
    options, switches = SETTINGS[setting]
    got = ours(data, kind, options, switches, folder)
    expected = oracle.run(data, kind, oracle.Options(**options, **switches))._asdict()
    for name in ("conversions", "rejections", "items", "passthroughs"):
        assert_same_rows(got[name], expected[name], data, kind)
    assert got["skipped"] == expected["skipped"]
    assert named(got["unrecognised"]) == named(expected["unrecognised"])


def named(counts: dict[str, int]) -> Counter[str]:
    """Counts of names; of a text that was taken for a name, the oracle does not know how it is redacted."""
    found = Counter[str]()
    for name, count in counts.items():
        is_name = name != "redacted" and re.fullmatch(r"[\w.,\[\]()$@%+*/| -]{0,100}", name)
        found[name if is_name else "(text)"] += count
    return found


def test_torn_and_padded_lines(tmp_path: Path) -> None:
    check(b"".join(adversary.damaged_lines(seed, draws(80, 400)) + b"\n" for seed in SEEDS), "log", "keep", tmp_path)


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        pytest.param(setting, kind, marks=[] if turn < 2 or turn % 3 == number else [thorough])
        for turn, setting in enumerate(SETTINGS)
        for number, kind in enumerate(adversary.GENERATORS)
    ],
)
def test_adversarial_records(setting: str, kind: str, tmp_path: Path) -> None:
    check(invented(kind), kind, setting, tmp_path)


@cache
def invented(kind: str) -> bytes:
    """What the adversary invents by every seed, as one input: a large table costs little more than a small one."""
    parts = [adversary.GENERATORS[kind](seed, draws(80, 400)) for seed in SEEDS]
    if kind == "json":
        return b"[" + b",".join(part.strip()[1:-1] for part in parts) + b"]"
    return b"".join(part if part.endswith(b"\n") else part + b"\n" for part in parts[:-1]) + parts[-1]


@pytest.mark.parametrize("setting", ["the page", *(pytest.param(name, marks=thorough) for name in [*SETTINGS][1:])])
def test_the_samples(setting: str, tmp_path: Path) -> None:
    """Of the samples, `make test` takes every ninth line."""
    for kind, data in (
        ("log", gzip.decompress((SAMPLES / "access.log.gz").read_bytes())),
        ("jsonl", (SAMPLES / "webhooks.jsonl").read_bytes()),
    ):
        check(b"".join(data.splitlines(keepends=True)[:: draws(9, 2)]), kind, setting, tmp_path)


def readable(seed: int) -> list[str]:
    """Lines of the adversary that JSON can hold, and in which the oracle finds a request."""
    options = oracle.Options()
    texts = []
    for line in adversary.log_lines(seed, draws(60, 300)).split(b"\n"):
        found = oracle.read_log_line(1, line, options) if line.isascii() and b"\r" not in line else None
        if isinstance(found, oracle.Request) and found.origin.received_at is not None:  # else the carrier's time counts
            texts.append(line.decode())
    return texts


@pytest.mark.parametrize("name", CARRIERS)
def test_what_a_carrier_carries_becomes_what_it_would_be_alone(name: str, tmp_path: Path) -> None:
    wrap, unwrap = CARRIERS[name]
    options, switches = SETTINGS["keep"]
    for seed in range(draws(1, 6)):
        rng = random.Random(f"{name} {seed}")
        lines = wrap(readable(seed), rng)
        got = ours(
            "".join(line + "\n" for line in lines).encode(), "log", {**options, "format": "auto"}, switches, tmp_path
        )
        carried = "".join(text + "\n" for text in unwrap(lines)).encode()
        expected = oracle.run(carried, "log", oracle.Options(**options, **switches))._asdict()
        for table in ("conversions", "rejections", "items", "passthroughs"):
            rows = [{key: value for key, value in row.items() if key != "raw"} for row in expected[table]]
            assert_same_rows(got[table], rows, carried, "log")
        assert got["skipped"] == expected["skipped"]
