"""The laws, on random input: split, order, accounting, total, same bytes again."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import etl
from etl.options import DEFAULT_MAX_RECORD_BYTES
from etl.runner import run, tasks
from etl.runner.hash_set import HashSet
from etl.sources import small_inputs
from etl.sources.records import lines
from etl.sources.records.lines import line_text, read_lines
from etl.sources.storage import surveys
from etl.sources.storage.surveys import survey
from etl.steps.pipeline import transform
from tests import adversary
from tests.effort import draws, thorough
from tests.requests import assert_equal, requests_of

SPLIT = 2_000


@pytest.mark.parametrize(("kind", "generate"), [("combined", adversary.log_lines), ("jsonl", adversary.json_lines)])
@pytest.mark.parametrize("seed", range(draws(1, 4)))
def test_the_transform_of_a_whole_is_the_concatenation_over_any_split(
    kind: str, generate: object, seed: int, tmp_path: Path
) -> None:
    data = generate(seed, draws(100, 200))  # type: ignore[operator]
    (whole,) = requests_of(data, tmp_path, kind)
    cuts = [0, 1, 17, 60, whole.height]
    parts = [transform(whole[start:end]) for start, end in pairwise(cuts)]
    assert_equal(transform(whole), parts)


def test_splits_of_a_file_hold_each_line_once_with_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BATCH_BYTES", 17_501)
    monkeypatch.setattr(surveys, "BLOCK_BYTES", 1 << 16)
    data = b"".join(adversary.log_lines(seed, 1_000) for seed in range(draws(1, 7))) + b"\n\n"
    (whole,) = requests_of(data, tmp_path, "combined")
    assert whole["record_no"].to_list() == list(range(1, data.count(b"\n") + 1))
    for split_bytes in (1 << 16, 65_537, draws(1 << 17, 1 << 18)):
        assert len(data) > 2 * split_bytes
        parts = requests_of(data, tmp_path, "combined", split_bytes)
        assert len(parts) > 1
        assert pl.concat(parts).equals(whole)


@pytest.mark.parametrize("start", [0, 16_384])
def test_a_split_no_larger_than_a_batch_is_one(start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BATCH_BYTES", 16_384)
    stream = io.BytesIO(b"a line of some length\n" * 2_000)
    stream.seek(max(start - 1, 0))
    (batch,) = read_lines(stream, start, start + 16_384, 1 << 20)
    assert len(batch.starts) in (744, 745)
    assert stream.tell() < start + 17_000


#: Line ends, edges and beginnings of records, and what looks like them.
PIECES = [b"a", b"bb", b"\n", b"\r\n", b"\r", b"\r\r\n", b"x" * 40, b"\xef\xbb\xbf", b"\0", b'{"a', b"https://a/b"]


@settings(max_examples=draws(100, 300), deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=40),
    st.lists(st.integers(1, 400), max_size=4),
    st.sampled_from([16, 1 << 20]),
    st.sampled_from([1, 3, 1 << 17]),
)
def test_lines_are_what_lies_between_their_ends_without_edges(
    parts: list[bytes], cuts: list[int], block: int, most: int
) -> None:
    data = b"".join(parts)
    expected = re.split(rb'\n|\r(?=\{"|https?://a/b)', data)  # rules 1.3c
    if expected[-1] == b"":
        expected.pop()
    bounds = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BATCH_BYTES", block)
        patch.setattr(lines, "_BEYOND", 4)
        patch.setattr(lines, "MOST_RECORDS", most)
        for start, end in pairwise(bounds):
            stream = io.BytesIO(data)
            stream.seek(max(start - 1, 0))
            for batch in read_lines(stream, start, end, 1 << 20):
                texts = zip(batch.offsets, batch.texts(), strict=True)
                found += [(int(offset), text) for offset, text in texts]
    edges = rb"(?:\0|\xef\xbb\xbf)*(.*?)[\0\r]*"
    assert [text for _, text in found] == [re.fullmatch(edges, line, re.DOTALL)[1] for line in expected]  # type: ignore[index]
    assert all(data[offset:].startswith(text) and line_text(data[offset:]) == text for offset, text in found)


@settings(max_examples=draws(30, 300), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.integers(1, 60))
def test_the_survey_counts_the_records_that_reading_finds(parts: list[bytes], split_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        frames = requests_of(b"".join(parts), Path(folder), "jsonl", split_bytes)
        surveyed = survey(Path(folder) / "input", "input", split_bytes)
        assert surveyed.lines == sum(frame.height for frame in frames)


@settings(max_examples=draws(20, 100), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=60), st.integers(1, 90), st.integers(1, 40))
@example([b"\r", b'{"a'], 1, 1)
@example([b"\r", b"{", b"\n", b'"a'], 1, 1)
def test_lines_are_numbered_alike_in_any_split(parts: list[bytes], split_bytes: int, block: int) -> None:
    data = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(surveys, "BLOCK_BYTES", max(block, 1))
        patch.setattr(surveys, "SAMPLE_BYTES", 8)
        whole = requests_of(data, Path(folder), "jsonl")
        split = requests_of(data, Path(folder), "jsonl", max(split_bytes, block))
    same = [pl.concat(frames).select("record_no", "byte_offset", "raw") for frames in (whole, split)]
    assert same[0].equals(same[1])


@settings(max_examples=draws(5, 20), deadline=None)
@given(st.lists(st.binary(max_size=400), min_size=8, max_size=8), st.sampled_from(["combined", "jsonl", "json"]))
def test_no_bytes_raise_and_every_record_is_in_one_place(
    tmp_path_factory: pytest.TempPathFactory, inputs: list[bytes], kind: str
) -> None:
    """Of each example, eight inputs are read apart, and transformed together: the way is the costly part."""
    folder = tmp_path_factory.mktemp("bytes")
    requests = pl.concat([frame for data in inputs for frame in requests_of(b"\n" + data, folder, kind)])
    tables = transform(requests)
    placed = tables.conversions.height + tables.rejections.height + tables.skipped["count"].sum()
    assert placed == requests.height


@pytest.mark.usefixtures("remembered_transforms")
def test_shuffled_inputs_give_the_same_tables(tmp_path: Path) -> None:
    files = []
    for seed in range(4):
        files.append(tmp_path / f"{seed}.log")
        files[-1].write_bytes(adversary.log_lines(seed, draws(25, 300)))
    published = []
    for order in (files, files[::-1], files[2:] + files[:2]):
        etl.run(order, tmp_path / "out")
        published.append({table.name: pl.read_parquet(tmp_path / "out" / table.name) for table in etl.schema.TABLES})
    assert all(one[name].equals(published[0][name]) for one in published for name in one)


def test_processes_give_the_same_bytes_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from etl.runner import stage_inputs

    monkeypatch.setattr(stage_inputs, "POOL_BYTES", 0)
    monkeypatch.setattr(small_inputs, "SMALL_BYTES", 0)
    for seed in range(3):
        (tmp_path / f"{seed}.log").write_bytes(adversary.log_lines(seed, draws(40, 500)))
    summaries = [etl.run([tmp_path / "*.log"], tmp_path / f"out{jobs}", jobs=jobs) for jobs in (1, 2)]
    left, right = (sorted((tmp_path / f"out{jobs}").rglob("*.*")) for jobs in (1, 2))
    assert [path.read_bytes() for path in left] == [path.read_bytes() for path in right]
    differing = ("run_id", "seconds", "peak_memory_bytes")
    assert [{k: v for k, v in summary.items() if k not in differing} for summary in summaries[:1]] == [
        {k: v for k, v in summary.items() if k not in differing} for summary in summaries[1:]
    ]


@pytest.mark.usefixtures("remembered_transforms")
@pytest.mark.parametrize("records_per_part", [pytest.param(1, marks=thorough), 100])
def test_in_which_order_keys_are_met_plays_no_part(
    records_per_part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = draws(40, 100)
    monkeypatch.setattr(lines, "BATCH_BYTES", 5_000)
    monkeypatch.setattr(small_inputs, "SMALL_BYTES", 0)
    monkeypatch.setattr(tasks, "ROWS_PER_PIECE", count // 5)
    monkeypatch.setattr(run, "ROWS_PER_PIECE", records_per_part)
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(adversary.log_lines(1, count), mtime=0))
    (tmp_path / "b.log").write_bytes(adversary.log_lines(2, count) + adversary.log_lines(1, count))
    (tmp_path / "c.jsonl").write_bytes(adversary.json_lines(3, count))
    add = HashSet.add
    met: list[np.ndarray] = []

    def published(told: Callable[[HashSet, np.ndarray], np.ndarray]) -> dict[str, bytes]:
        monkeypatch.setattr(HashSet, "add", told)
        etl.run([tmp_path / "*.*"], tmp_path / "out")
        return {str(path): path.read_bytes() for path in sorted((tmp_path / "out").rglob("*.*"))}

    def noted(seen: HashSet, hashes: np.ndarray) -> np.ndarray:
        met.append(hashes.copy())
        return add(seen, hashes)

    in_order = published(noted)
    reasons = pl.read_parquet(tmp_path / "out" / "rejections")["reason"]
    assert (reasons == "duplicate_transaction").sum() > count // 4
    assert len(met) > 8
    for seed in range(draws(1, 2)):
        order, seen = random.Random(seed).sample(range(len(met)), len(met)), HashSet()
        told = iter([answer for _, answer in sorted((i, add(seen, met[i])) for i in order)])
        assert published(lambda _, hashes, told=told: next(told)) == in_order
    assert published(lambda _, hashes: np.ones(len(hashes), np.bool_)) == in_order


@settings(max_examples=draws(50, 200), deadline=None)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9).map(lambda low: low << 32)), max_size=6))
def test_hashes_that_came_before_are_told_to_have(parts: list[list[int]]) -> None:
    seen, before = HashSet(), set[int]()
    for part in parts:
        for value, is_repeated in zip(part, seen.add(np.array(part, np.uint64)), strict=True):
            assert is_repeated == (value | 1 in before)
            before.add(value | 1)


def test_hashes_are_known_however_often_the_table_has_grown() -> None:
    hashes = np.random.default_rng(1).integers(1, 2**64, 400_000, np.uint64)
    seen = HashSet()
    assert not any(seen.add(part).any() for part in np.array_split(hashes, 13))
    assert all(seen.add(part).all() for part in np.array_split(hashes, 7))


def test_a_table_of_hashes_grows() -> None:
    hashes = np.random.default_rng(1).integers(1, 2**64, 200_000, np.uint64, endpoint=False)
    seen = HashSet()
    assert not any(seen.add(part).any() for part in np.array_split(hashes, 7))
    assert seen.add(hashes[::-1].copy()).all()


@pytest.mark.parametrize("kind", ["log", "jsonl", "json"])
def test_a_record_over_the_limit_is_a_rejection_with_its_beginning(kind: str, tmp_path: Path) -> None:
    good = '192.0.2.1 - - [01/May/2024:12:00:00 +0000] "GET /a/collect/b?click_id=x HTTP/1.1" 200 2\n'
    payload = json.dumps({"click_id": "y" * 10_000_000})
    text = {
        "log": good + good.replace("x ", "y" * 10_000_000 + " ") + good,
        "jsonl": f'{{"click_id": "x"}}\n{payload}\n{{"click_id": "x"}}\n',
        "json": f'[{{"click_id": "x"}}, {payload}, {{"click_id": "x"}}]',
    }[kind]
    (tmp_path / "input").write_text(text, encoding="utf-8")
    for limit, rejected in ((1 << 20, 1), (1 << 25, 0)):
        summary = etl.run([tmp_path / "input"], tmp_path / "out", max_record_bytes=limit)
        assert (summary["records"], summary["rejections"]["total"]) == (3, rejected)
    etl.run([tmp_path / "input"], tmp_path / "out", max_record_bytes=1 << 20)
    row = pl.read_parquet(tmp_path / "out" / "rejections").to_dicts()[0]
    assert row["reason"] == "malformed_record"
    assert "longer than --max-record" in row["message"]
    assert len(row["raw"]) <= DEFAULT_MAX_RECORD_BYTES
