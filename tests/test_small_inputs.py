"""Many small inputs: they are read, transformed and staged together, and give the rows of each alone."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl.sources import small_inputs
from etl.sources.bundles import bundled
from etl.sources.formats.registry import FORMATS
from etl.sources.planning import ReadOptions, find_format, plan_splits
from etl.sources.small_inputs import group_small, read_together
from etl.sources.splits import Split, read_split
from etl.sources.storage.inputs import Input
from etl.sources.storage.surveys import survey
from etl.warehouse.load_history import list_loads
from tests import adversary
from tests.commands import run
from tests.effort import IS_THOROUGH, draws
from tests.warehouses import tables


def small(seed: int) -> dict[str, bytes]:
    """Small inputs of many kinds, by name."""
    log, bodies = adversary.log_lines(seed, 9), adversary.json_lines(seed, 9)
    return {
        "a.log": log,
        "b.jsonl": bodies,
        "c.log.gz": gzip.compress(adversary.log_lines(seed + 1, 9) + log, mtime=0),
        "d.json": adversary.json_array(seed, 5),
        "e.log": b"",
        "f.log": b"",
        "g.log": b"\n# a comment\n\n" + log + b"x" * 3_000 + b"\nno record\n" + adversary.damaged_lines(seed, 5),
        "h.csv": b"click_id,event_value,strange\na,1,2\na,x,2\n" + b"b,2,3\n" * 4,
        "i.log": log.replace(b"\r", b"").replace(b"\n", b"\r"),
        "j.jsonl": b"\xef\xbb\xbf" + adversary.json_lines(seed + 2, 9) + b"{",
    }


def splits_of(folder: Path, inputs: dict[str, bytes], limit: int = 2_000) -> list[Split]:
    splits = []
    for name, data in inputs.items():
        (folder / name).write_bytes(data)
        item, reading = Input(name, folder / name), ReadOptions(max_record_bytes=limit)
        surveyed = survey(item.path, name, 1 << 24)
        splits += plan_splits(item, surveyed, find_format(item, surveyed.codec, surveyed.samples, reading), reading)
    return splits


@pytest.mark.parametrize("seed", range(draws(2, 12)))
def test_inputs_that_are_read_together_have_the_requests_of_each_alone(seed: int, tmp_path: Path) -> None:
    samples = {f"{i}.txt": b"".join(one + b"\n" for one in row.samples) for i, row in enumerate(FORMATS) if row.samples}
    splits = splits_of(tmp_path, {**small(seed), **(samples if seed == 0 else small(seed + 100))})
    together, size = read_together(tuple(splits))
    alone = [(rows, read) for split in splits for rows, read in read_split(split)]
    assert together is not None
    assert together.equals(pl.concat(rows for rows, _ in alone))
    assert size == sum(read for _, read in alone)


def test_inputs_without_records_are_read_together(tmp_path: Path) -> None:
    assert read_together(tuple(splits_of(tmp_path, {"a.log": b"", "b.log": b""}))) == (None, 0)


def test_small_neighbours_stand_together_as_far_as_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_inputs, "SMALL_BYTES", 100)
    monkeypatch.setattr(small_inputs, "TOGETHER_BYTES", 150)
    (split,) = splits_of(tmp_path, {"a.log": b"{}\n" * 10})
    splits = [split._replace(end=size) for size in (40, 60, 50, 1, 100, 99, 99)]
    assert [[one.end for one in group] for group in group_small(splits)] == [[40, 60, 50], [1], [100], [99], [99]]


def test_neighbours_are_bundled_by_their_bytes_and_number(tmp_path: Path) -> None:
    (split,) = splits_of(tmp_path, {"a.log": b"{}\n" * 10})
    mib = 2**20

    def sizes(*splits: Split) -> list[int]:
        return list(map(len, bundled([(split,) for split in splits], lambda splits: splits, 64 * mib)))

    assert bundled("abc", lambda _: (split,), 0) == [["a"], ["b"], ["c"]]
    assert sizes() == []
    assert sizes(*[split] * 100) == [63, 37]  # opening an input costs as much as a mebibyte
    plain = [split._replace(start=i * 16 * mib, end=(i + 1) * 16 * mib) for i in range(8)]
    assert sizes(*plain) == [3, 3, 2]
    packed = [split._replace(codec="gzip", source_digest="b", start=part.start, end=part.end) for part in plain]
    assert sizes(*packed) == [3, 3, 2]
    assert sizes(split, *packed, split) == [1, 4, 4, 1]
    assert sizes(*packed, *(split._replace(source_digest=name) for name in "cde")) == [8, 3]


def test_tables_manifest_and_warnings_are_those_of_each_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in small(5).items():
        if IS_THOROUGH or name[0] in "abefhk":
            (tmp_path / name).write_bytes(data)
    (tmp_path / "k.jsonl").write_bytes(b'{"offer_id": "1", "affiliate_id": "2", "adv_sub": "3", "goal_id": "4"}\n' * 3)
    outcomes: list[Any] = []
    for together in (0, 2_500, 1 << 22)[: draws(2, 3)]:
        monkeypatch.setattr(small_inputs, "TOGETHER_BYTES", together)
        published = run("run", tmp_path / "*.*", "--out", tmp_path / "out" / "tables", "-q", "--pii", "hash")
        files = {str(path): path.read_bytes() for path in sorted((tmp_path / "out" / "tables").rglob("*.*"))}
        house = tmp_path / "out" / f"house{together}"
        loaded = run("load", tmp_path / "*.*", "--into", house, "--summary", "-", "-q", "--pii", "hash")
        report = {**json.loads(loaded.stdout), **dict.fromkeys(("run_id", "warehouse", "peak_memory_bytes", "seconds"))}
        loads = [{**one, "run_id": None, "loaded_at": None} for one in list_loads(str(house))]
        outcomes.append((published.stderr, files, loaded.stderr, report, loads, tables(house)))
    for one in outcomes[1:]:
        for part, same in zip(one, outcomes[0], strict=True):
            assert part == same
