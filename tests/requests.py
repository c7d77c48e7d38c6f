"""Requests of an input, and tables of which one must be the others one after another."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from etl.schema import REQUESTS
from etl.sources.format import LINES, Settings
from etl.sources.formats.registry import BY_NAME
from etl.sources.splits import Split, read_split
from etl.sources.storage.surveys import survey
from etl.steps.pipeline import Tables


def requests_of(data: bytes, tmp: Path, kind: str, split_bytes: int = 1 << 40) -> list[pl.DataFrame]:
    """The requests of an input, one frame a split."""
    path = tmp / "input"
    path.write_bytes(data)
    surveyed = survey(path, "input", split_bytes)
    starts, returns = surveyed.starts, surveyed.has_return_ends
    return [
        pl.concat([REQUESTS.empty(), *(frame for frame, _ in read_split(split))])
        for split in (
            Split("input", surveyed.digest, path, "plain", *part, BY_NAME[kind], LINES, Settings(), 1 << 20, returns)
            for part in zip(starts, (*starts[1:], surveyed.plain_bytes), surveyed.first_lines, strict=True)
        )
    ]


def assert_equal(left: Tables, right: list[Tables]) -> None:
    for name in ("conversions", "items", "passthroughs", "rejections", "keys"):
        whole = pl.concat([getattr(part, name) for part in right])
        assert getattr(left, name).equals(whole), name
    for name in ("skipped", "unrecognised"):
        parts = pl.concat([getattr(part, name) for part in right])
        key = parts.columns[:-1]
        sums = parts.group_by(key).agg(pl.col("count").sum())
        assert set(getattr(left, name).rows()) == set(sums.rows())
