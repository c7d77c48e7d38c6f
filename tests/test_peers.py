"""The job as specialists write it in other tools, over a generated log and dump: their tables equal ours.

They share no code with the pipeline, so that they are a third oracle; the bench measures us against the same scripts.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import etl
from tests.effort import thorough

BENCH = Path(__file__).parents[1] / "bench"
sys.path.insert(0, str(BENCH))

from check_peers import COMPARED, DifferenceError, compare, read_ours  # noqa: E402 - the bench is no package
from contenders import HASHES, PEERS, peer  # noqa: E402

LINES = 3_000
FORMS = ("log", "jsonl")

#: A column a table, of which a generated log fills at least one cell.
DAMAGED = {"conversions": "user_agent", "items": "quantity", "passthroughs": "stored", "rejections": "duplicate_of"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated inputs, and what ours makes of each."""
    made = tmp_path_factory.mktemp("generated")
    for form in FORMS:
        path = made / f"postbacks.{form}"
        command = [sys.executable, BENCH / "generate.py", "--lines", str(LINES), "--seed", "7", "--format", form]
        subprocess.run([*command, "--out", path], check=True, capture_output=True)
        etl.run([str(path)], str(made / f"ours-{form}"), pii="keep")
    return made


@pytest.mark.parametrize("form", [FORMS[0], pytest.param(FORMS[1], marks=thorough)])
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_writes_the_same_tables(name: str, form: str, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip(PEERS[name][1])
    subprocess.run(peer(f"{name}{HASHES}", folder / f"postbacks.{form}", tmp_path), check=True)
    rows = compare(folder / f"ours-{form}", tmp_path)
    assert rows["conversions"] > 0.8 * LINES
    assert all(rows.values())


def copy_of(ours: Path, out: Path) -> dict[str, pl.DataFrame]:
    """Our tables as a peer would write them."""
    tables = read_ours(ours)
    for table, rows in tables.items():
        rows.write_parquet(out / f"{table}.parquet")
    return tables


def test_a_copy_of_ours_passes(folder: Path, tmp_path: Path) -> None:
    tables = copy_of(folder / "ours-log", tmp_path)
    assert compare(folder / "ours-log", tmp_path) == {table: rows.height for table, rows in tables.items()}


@pytest.mark.parametrize("table", COMPARED)
def test_a_row_that_a_peer_leaves_out_is_seen(table: str, folder: Path, tmp_path: Path) -> None:
    copy_of(folder / "ours-log", tmp_path)[table].head(-1).write_parquet(tmp_path / f"{table}.parquet")
    with pytest.raises(DifferenceError, match=f"^{table}: .* rows of ours"):
        compare(folder / "ours-log", tmp_path)


@pytest.mark.parametrize("table", COMPARED)
def test_a_column_that_a_peer_leaves_out_is_seen(table: str, folder: Path, tmp_path: Path) -> None:
    rows = copy_of(folder / "ours-log", tmp_path)[table]
    rows.drop(DAMAGED[table]).write_parquet(tmp_path / f"{table}.parquet")
    with pytest.raises(DifferenceError, match=f"^{table}: the columns are"):
        compare(folder / "ours-log", tmp_path)


@pytest.mark.parametrize(("table", "column"), DAMAGED.items())
def test_a_cell_that_differs_is_seen(table: str, column: str, folder: Path, tmp_path: Path) -> None:
    rows = copy_of(folder / "ours-log", tmp_path)[table].with_row_index("row")
    place = rows.filter(pl.col(column).is_not_null())["row"][0]
    emptied = pl.when(pl.col("row") != place).then(pl.col(column)).alias(column)
    rows.with_columns(emptied).drop("row").write_parquet(tmp_path / f"{table}.parquet")
    with pytest.raises(DifferenceError, match=rf"^{table}\.{column}: 1 rows differ"):
        compare(folder / "ours-log", tmp_path)
