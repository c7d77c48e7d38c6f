"""Tables in a folder for each day or month: the same rows, and every command reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

import etl
from etl.errors import UsageError
from etl.runner import run as running
from etl.schema import TABLES
from etl.sources import small_inputs
from tests.commands import assert_refused, run
from tests.warehouses import lines

UNKNOWN = '{"click_id": "z", "items": [{"id": "9"}], "email": "jo@example.com"}\n{"value": 5}\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a run by each partition; no test changes them."""
    base = tmp_path_factory.mktemp("partitions")
    rows = (*((day, f"c{day}", f"t{day}&value=5") for day in (1, 2, 3)), (3, "late", "t1"))
    (base / "a.log").write_bytes(lines(*rows) + lines((5, "june", "t5")).replace(b"May", b"Jun"))
    (base / "b.jsonl").write_text(UNKNOWN, encoding="utf-8")
    for by in ("none", "day", "month"):
        run("run", base / "a.log", base / "b.jsonl", "--out", base / by, "--partition-by", by, "-q")
    return base


def folders(tables: Path, table: str) -> list[str]:
    return sorted({path.parent.name for path in (tables / table).rglob("*.parquet")})


def test_every_row_is_in_the_folder_of_its_time(made: Path) -> None:
    days = ["day=2024-05-01", "day=2024-05-02", "day=2024-05-03", "day=2024-06-05", "day=unknown"]
    assert folders(made / "day", "conversions") == days
    assert folders(made / "day", "rejections") == ["day=2024-05-03", "day=unknown"]
    assert folders(made / "month", "conversions") == ["month=2024-05", "month=2024-06", "month=unknown"]
    assert folders(made / "none", "conversions") == ["conversions"]
    wrong = duckdb.sql(
        f"select count(*) from read_parquet('{made}/day/conversions/*/*.parquet', hive_partitioning = true)"
        " where day <> coalesce(strftime(received_at at time zone 'UTC', '%Y-%m-%d'), 'unknown')"
    )
    assert wrong.fetchall() == [(0,)]
    for child in ("items", "passthroughs"):
        for path in sorted((made / "day" / child).rglob("*.parquet")):
            beside = pl.read_parquet(made / "day" / "conversions" / path.parent.name / path.name)
            ids = pl.read_parquet(path, hive_partitioning=False)["conversion_id"]
            assert set(ids) <= set(beside["conversion_id"])


@pytest.mark.parametrize("by", ["day", "month"])
def test_the_rows_are_the_same(by: str, made: Path) -> None:
    for table in TABLES:
        whole, parts = (
            pl.read_parquet(made / name / table.name / "**/*.parquet", hive_partitioning=False) for name in ("none", by)
        )
        key = table.names[:2] if "position" in table.names else table.names[:1]
        assert parts.sort(key).equals(whole.sort(key)), table.name
        assert whole.height


def _audited(folder: Path) -> Any:
    report = json.loads(run("audit", folder, "--json").stdout)
    return {**report, "folder": None}


def _explained(folder: Path) -> Any:
    ids = pl.read_parquet(folder / "conversions", hive_partitioning=False)["conversion_id"]
    return run("explain", f"{folder}:{ids.sort()[1]}").stdout


def _reconciled(folder: Path) -> Any:
    export = folder.parent / "theirs.csv"
    export.write_text("transaction_id,value,currency,date\nt1,5,,2024-05-01\nt2,6,,2024-05-02\n", encoding="utf-8")
    return {**json.loads(run("reconcile", folder, export, "--json").stdout), "folder": None, "store": None}


@pytest.mark.parametrize("read", [_audited, _explained, _reconciled])
def test_every_command_reads_them(read: Callable[[Path], Any], made: Path) -> None:
    whole = read(made / "none")
    assert whole
    assert read(made / "day") == whole


def test_a_person_is_forgotten_in_them(made: Path, tmp_path: Path) -> None:
    copies = [Path(shutil.copytree(made / by, tmp_path / by)) for by in ("none", "day")]
    for copy in copies:
        run("forget-person", copy, "--person", "-", "--apply", stdin=b"jo@example.com")
    whole, parts = (
        pl.read_parquet(copy / "conversions", hive_partitioning=False).sort("conversion_id") for copy in copies
    )
    assert parts.equals(whole)
    assert whole["email_sha256"].null_count() == whole.height
    assert folders(copies[1], "items") == folders(made / "day", "items")


def test_a_run_replaces_what_another_partition_wrote_and_nothing_else(made: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(made / "day", tmp_path / "out"))
    etl.run(made / "b.jsonl", out, partition_by="month")
    assert folders(out, "conversions") == ["month=unknown"]
    etl.run(made / "b.jsonl", out)
    assert folders(out, "passthroughs") == ["passthroughs"]
    for name in ("day=2024-05-01/mine.txt", "mine/part-00000.parquet"):
        place = out / "items" / name
        place.parent.mkdir()
        place.touch()
        assert_refused(run("run", made / "b.jsonl", "--out", out, code=2), f"holds 'items/{name}'")
        shutil.rmtree(place.parent)


def test_empty_tables_have_their_columns(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    etl.run(tmp_path / "empty.jsonl", tmp_path / "out", format="jsonl", partition_by="day")
    for table in TABLES:
        (path,) = (tmp_path / "out" / table.name / "day=unknown").iterdir()
        assert pl.read_parquet_schema(path) == table.schema


def test_files_of_many_records_hold_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ROWS_PER_PIECE", 1)
    monkeypatch.setattr(small_inputs, "SMALL_BYTES", 0)
    for day in range(1, 8):
        (tmp_path / f"{day}.log").write_bytes(lines((day, f"c{day}", f"t{day % 5}")))
    outs = {tmp_path / "usual": (), tmp_path / "few": (3,), tmp_path / "one": (400_000,)}
    for out, number in outs.items():
        run("run", tmp_path / "*.log", "--out", out, "-q", *(("--records-per-file", *number) if number else ()))
    assert [len(list((out / "conversions").iterdir())) for out in outs] == [5, 3, 1]
    for table in TABLES:
        usual, few, one = (pl.read_parquet(out / table.name) for out in outs)
        assert usual.equals(few)
        assert usual.equals(one)
    with pytest.raises(UsageError, match="is no number of records"):
        etl.run(tmp_path / "1.log", tmp_path / "out", records_per_file=0)


def test_a_partition_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'day'"):
        etl.run("a.log", tmp_path / "out", partition_by="days")
