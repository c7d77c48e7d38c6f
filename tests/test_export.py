"""A warehouse as plain Parquet: who reads it, what is written anew, and that it is whole or untouched."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset
import pytest

import etl
from etl.errors import EtlError
from etl.warehouse.export import Exported, export
from etl.warehouse.maintenance import compact, forget
from tests.commands import assert_refused, run
from tests.effort import thorough
from tests.warehouses import assert_full_disk_is_told, held, lines


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs and a warehouse of them, which no test changes."""
    folder = tmp_path_factory.mktemp("loaded")
    for day in (1, 2, 3):
        (folder / f"{day}.log").write_bytes(lines((day, "a", f"t{day}"), (day, "b", f"u{day}"), (day, "c", "t1")))
    (folder / "dump.jsonl").write_text('{"click_id": "without a time"}\n', encoding="utf-8")
    etl.load([folder / "*.log", folder / "dump.jsonl"], folder / "warehouse")
    return folder


@pytest.fixture
def warehouse(loaded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(loaded / "warehouse", tmp_path / "warehouse"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows(folder: Path, table: str) -> pl.DataFrame:
    return pl.read_parquet(folder / table, hive_partitioning=True).sort(pl.first(), maintain_order=True)


def told(exported: list[Exported]) -> tuple[int, int, int]:
    """Of conversions: partitions written, removed and left."""
    (one,) = (one for one in exported if one.table == "conversions")
    return one.written, one.removed, one.kept


def test_any_tool_reads_it_by_its_partitions(warehouse: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert (
        "conversions: 4 days written, with 7 rows" in run("export", "--into", warehouse, "--out", out).stdout.decode()
    )
    assert (out / "conversions" / "received_date=2024-05-02" / "part-00000.parquet").is_file()
    for table in etl.schema.TABLES:
        expected = etl.scan(str(warehouse), table.name).collect().sort(pl.first(), maintain_order=True)
        by_polars = rows(out, table.name)
        assert by_polars.select(expected.columns).sort(pl.first(), maintain_order=True).equals(expected)
        by_arrow = pyarrow.dataset.dataset(out / table.name, partitioning="hive").to_table()
        assert by_arrow.num_rows == expected.height
        counts = duckdb.sql(
            f"select received_date, count(*)"
            f" from read_parquet('{out}/{table.name}/*/*.parquet', hive_partitioning=true)"
            " group by all order by all nulls last"
        ).fetchall()
        days = expected["received_date"].value_counts().sort("received_date", nulls_last=True)
        assert counts == days.rows()
    day = duckdb.sql(
        f"select count(*) from read_parquet('{out}/conversions/*/*.parquet', hive_partitioning=true)"
        " where received_date = date '2024-05-02'"
    )
    assert day.fetchall() == [(2,)]


@pytest.mark.parametrize("has_rows_without_a_time", [False, True])
def test_pandas_reads_it(has_rows_without_a_time: bool, loaded: Path, warehouse: Path, tmp_path: Path) -> None:
    """By a folder's name alone where every row has a day: Arrow makes categories of days, which cannot be null."""
    pandas = pytest.importorskip("pandas")
    if not has_rows_without_a_time:
        forget(str(loaded / "dump.jsonl"), str(warehouse))
    export(str(warehouse), tmp_path / "out")
    how = {"partitioning": pyarrow.dataset.partitioning(flavor="hive")} if has_rows_without_a_time else {}
    frame = pandas.read_parquet(tmp_path / "out" / "conversions", **how)
    assert sorted(frame["received_date"].dropna().astype(str).unique()) == ["2024-05-01", "2024-05-02", "2024-05-03"]
    assert len(frame) == 6 + has_rows_without_a_time


def test_again_writes_only_what_has_changed_on_whatever_day(warehouse: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert told(export(str(warehouse), out)) == (4, 0, 0)
    inode = out.stat().st_ino
    assert told(export(str(warehouse), out)) == (0, 0, 4)
    assert out.stat().st_ino == inode
    before = contents(out)
    (tmp_path / "late.log").write_bytes(lines((1, "early", "t3")))  # what was kept on day 3 is a duplicate now
    etl.load([tmp_path / "late.log"], warehouse)
    assert told(export(str(warehouse), out)) == (2, 0, 2)
    export(str(warehouse), tmp_path / "fresh")
    assert contents(out).keys() == contents(tmp_path / "fresh").keys()
    assert {name for name, data in contents(out).items() if before.get(name) != data} == {
        "_postback_etl.json",
        *(
            f"{table}/received_date=2024-05-0{day}/part-00000.parquet"
            for table in ("conversions", "items", "passthroughs")
            for day in (1, 3)
        ),
        "rejections/received_date=2024-05-03/part-00000.parquet",
    }
    for table in etl.schema.TABLES:
        assert rows(out, table.name).equals(rows(tmp_path / "fresh", table.name))


def test_the_same_rows_make_the_same_bytes(warehouse: Path, tmp_path: Path) -> None:
    export(str(warehouse), tmp_path / "a")
    for number in range(2):
        (tmp_path / f"more{number}.log").write_bytes(lines((2, f"x{number}", f"n{number}")))
        etl.load([tmp_path / f"more{number}.log"], warehouse)
    compact(str(warehouse))
    for number in range(2):
        forget(str(tmp_path / f"more{number}.log"), str(warehouse))
    compact(str(warehouse))
    export(str(warehouse), tmp_path / "b")
    left, right = contents(tmp_path / "a"), contents(tmp_path / "b")
    del left["_postback_etl.json"], right["_postback_etl.json"]
    assert left == right


def test_days_are_asked_for_and_others_stay(loaded: Path, warehouse: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(str(warehouse), out, date(2024, 5, 2), date(2024, 5, 3))
    assert sorted(path.name for path in (out / "conversions").iterdir()) == [
        "received_date=2024-05-02",
        "received_date=__HIVE_DEFAULT_PARTITION__",
    ]
    run("export", "--into", warehouse, "--out", out, "--since", "2024-05-03")
    assert rows(out, "conversions").height == 5
    forget(str(loaded / "2.log"), str(warehouse))
    forget(str(loaded / "3.log"), str(warehouse))
    assert told(export(str(warehouse), out, date(2024, 5, 3))) == (0, 1, 2)
    assert [path.name for path in sorted((out / "conversions").iterdir())] == [
        "received_date=2024-05-02",
        "received_date=__HIVE_DEFAULT_PARTITION__",
    ]
    assert told(export(str(warehouse), out)) == (1, 1, 1)
    assert rows(out, "conversions").height == 3


def test_large_days_are_several_files_that_share_no_key(
    warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl.warehouse import export as exporting

    (tmp_path / "many.log").write_bytes(lines(*((2, f"c{i}", f"m{i}") for i in range(100))))
    etl.load([tmp_path / "many.log"], warehouse)
    export(str(warehouse), tmp_path / "whole")
    monkeypatch.setattr(exporting, "_ROWS", 30)
    export(str(warehouse), tmp_path / "out")
    files = sorted((tmp_path / "out" / "items" / "received_date=2024-05-02").iterdir())
    assert [pl.read_parquet(file).height for file in files] == [30, 30, 30, 12]
    for table in etl.schema.TABLES:
        assert rows(tmp_path / "out", table.name).equals(rows(tmp_path / "whole", table.name))


@pytest.mark.parametrize("size", [pytest.param(100, marks=thorough), 3_000, pytest.param(12_000, marks=thorough)])
def test_a_full_disk_leaves_the_export_as_it_was(size: int, warehouse: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(str(warehouse), out)
    before = contents(out)
    (tmp_path / "many.log").write_bytes(lines(*((2, f"c{i}", f"m{i}") for i in range(900))))
    etl.load([tmp_path / "many.log"], warehouse)
    assert_full_disk_is_told(size, "export", "--into", warehouse, "--out", out)
    assert contents(out) == before
    assert not (tmp_path / ".out.staging").exists()
    export(str(warehouse), out)
    assert rows(out, "conversions").height == 907


def test_a_file_of_the_warehouse_that_is_gone_leaves_the_export_as_it_was(warehouse: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(str(warehouse), out, date(2024, 5, 3))
    before = contents(out)
    next((warehouse / "items" / "received_date=2024-05-01").iterdir()).unlink()
    assert_refused(run("export", "--into", warehouse, "--out", out, code=1), "cannot be written")
    assert contents(out) == before


def test_an_export_reads_while_another_command_writes(warehouse: Path, tmp_path: Path) -> None:
    with held(warehouse):
        assert told(export(str(warehouse), tmp_path / "out")) == (4, 0, 0)


def _a_file(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine").touch()


def _a_run(folder: Path) -> None:
    (folder.parent / "some.log").write_bytes(lines((1, "a", "t1")))
    etl.run([folder.parent / "some.log"], folder)


def _an_export_with_a_file(folder: Path) -> None:
    export(str(folder.parent / "warehouse"), folder)
    (folder / "conversions" / "mine").touch()


@pytest.mark.parametrize(
    ("make", "words"),
    [(_a_file, "no export wrote"), (_a_run, "no export wrote"), (_an_export_with_a_file, "'conversions/mine'")],
)
def test_what_no_export_wrote_is_refused_and_untouched(make: Any, words: str, warehouse: Path, tmp_path: Path) -> None:
    make(tmp_path / "out")
    before = contents(tmp_path / "out")
    assert_refused(run("export", "--into", warehouse, "--out", tmp_path / "out", code=2), words)
    assert contents(tmp_path / "out") == before


def test_an_export_that_cannot_be_is_refused(loaded: Path, warehouse: Path, tmp_path: Path) -> None:
    assert_refused(run("export", "--into", tmp_path / "none", "--out", tmp_path / "out", code=2), "is not a warehouse")
    inside = run("export", "--into", warehouse, "--out", warehouse / "out", code=2)
    assert_refused(inside, "lies in the warehouse")
    odd = run("export", "--into", warehouse, "--out", tmp_path / "out", "--since", "May", code=2)
    assert_refused(odd, "--since 'May' is not a day")
    export(str(warehouse), tmp_path / "out")
    etl.load([loaded / "1.log"], tmp_path / "other")
    with pytest.raises(EtlError, match="holds an export of"):
        export(str(tmp_path / "other"), tmp_path / "out")
    refused = run("run", loaded / "1.log", "--out", tmp_path / "out", code=2)
    assert_refused(refused, "did not write")
