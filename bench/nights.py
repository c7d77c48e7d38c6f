"""Measures a night: a log loaded into a warehouse with a long history, against a run over the same lines.

    python bench/nights.py [--lines N] [--nights N] [--rounds N]

The history is made of one real night: its rows again under other digests, ids and transactions, committed as a load
commits them. Each round has a night of its own, which `run`, a load into an empty warehouse and a load into the history
take in turns. The table shows the least of the rounds, as others may be at work on the machine; a ratio is the median
of the rounds' ratios to `run`, in seconds and in seconds of processor time. Memory is the peak of the sum of PSS over
the process tree.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
from contenders import DATA, HERE

from bench import Run, measure, ratio
from etl.warehouse import delta, file_storage, snapshots
from etl.warehouse.delta import Addition, FileChanges
from etl.warehouse.file_writer import DETAILS, write_rows
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import STORED_TABLES, StoredTable, prefix_of

WAREHOUSE = DATA / "warehouse"


def night(lines: int, seed: int) -> Path:
    """A log of that many lines, made if it is not there."""
    path = DATA / f"night{seed}-{lines}.log"
    if not path.exists():
        command = [sys.executable, HERE / "generate.py", "--lines", str(lines), "--seed", str(seed), "--format", "log"]
        subprocess.run([*command, "--out", path], check=True)
    return path


def repeat(nights: int) -> int:
    """Adds nights like the one that is loaded to the history; how many conversions there are then."""
    with snapshots.open_for_writing(str(WAREHOUSE)) as warehouse:
        added: dict[str, list[Addition]] = {stored.name: [] for stored in STORED_TABLES}
        for number in range(nights):
            for stored in STORED_TABLES:
                added[stored.name] += repeated(warehouse, stored, number)
        versions = dict(warehouse.snapshot.versions)
        for stored in STORED_TABLES:
            for one in added[stored.name]:
                path = f"{stored.folder}/{one.path}"
                file_storage.publish(warehouse.place, warehouse.folder("new") / path, path)
            changes = FileChanges(added[stored.name], warehouse.files[stored.name].clear())
            versions[stored.name] = delta.commit(
                warehouse.place, stored, warehouse.tables[stored.name], changes, {"run": "bench"}
            )
        snapshots.commit_snapshot(warehouse, snapshots.new_snapshot("bench", versions, warehouse.snapshot.dedup))
    return int(snapshots.open_for_reading(str(WAREHOUSE)).files["conversions"]["records"].sum())


def repeated(warehouse: Warehouse, stored: StoredTable, number: int) -> list[Addition]:
    """The files of a table again, as those of another input."""
    files = []
    for place, file in enumerate(warehouse.files[stored.name].iter_rows(named=True)):
        rows = warehouse.scan(stored.name, warehouse.files[stored.name][place]).collect()
        rows = rows.with_columns(changed(rows.schema, number))
        if stored.is_dated:
            rows = rows.with_columns(received_date=pl.lit(file["received_date"], pl.Date))
        files += write_rows(stored, rows, warehouse.folder("new"), f"bench-{number}-{place}")
    return files


def changed(columns: pl.Schema, number: int) -> list[pl.Expr]:
    """What of a row another input has otherwise."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    prefix = pl.lit(prefix_of(digest))
    cut = len(prefix_of(digest))

    def renamed(rows: pl.Expr) -> pl.Expr:
        return rows.struct.with_fields(conversion_id=prefix + rows.struct.field("conversion_id").str.slice(cut))

    other = {
        **{name: prefix + pl.col(name).str.slice(cut) for name in ("conversion_id", "rejection_id", "duplicate_of")},
        **{name: pl.lit(digest) for name in ("source_digest", "digest")},
        **{name: pl.format("{}-{}", name, pl.lit(number)) for name in ("transaction_id", "transaction_key")},
        "source": pl.lit(f"{number}.log"),
        "names": pl.lit([f"{number}.log"]),
        "ladder": pl.lit(digest[:8].encode()),
        "key_hash": pl.col("key_hash") ^ (number * 20_555_391_834_303 + 12_345),
    }
    if isinstance(columns.get("items"), pl.List):
        other |= {table.name: pl.col(table.name).list.eval(renamed(pl.element())) for table in DETAILS}
    return [value.alias(name) for name, value in other.items() if name in columns]


def main() -> None:
    """Makes the history and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--nights", type=int, default=22)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    shutil.rmtree(WAREHOUSE, ignore_errors=True)
    load = [sys.executable, "-m", "etl", "load", "--quiet", "--into", str(WAREHOUSE), str(night(arguments.lines, 0))]
    subprocess.run(load, check=True)
    conversions = repeat(arguments.nights)
    runs = measured(arguments.lines, arguments.rounds, conversions)
    print(f"\n{arguments.lines:,} lines, {arguments.rounds} rounds\n")
    print(as_markdown(runs))


def measured(lines: int, rounds: int, conversions: int) -> dict[str, list[Run]]:
    """What each command took, by its name, once a round."""
    command = [sys.executable, "-m", "etl"]
    runs: dict[str, list[Run]] = {
        "run": [],
        "load into an empty warehouse": [],
        f"load into {conversions:,} conversions": [],
    }
    for seed in range(1, rounds + 1):
        log = str(night(lines, seed))
        with tempfile.TemporaryDirectory(dir=DATA) as folder:
            commands = [
                [*command, "run", "--quiet", "--out", f"{folder}/out", log],
                [*command, "load", "--quiet", "--into", f"{folder}/warehouse", log],
                [*command, "load", "--quiet", "--into", str(WAREHOUSE), log],
            ]
            for name, words in zip(runs, commands, strict=True):
                runs[name].append(measure(words))
    return runs


def as_markdown(runs: dict[str, list[Run]]) -> str:
    """The table: the least of the rounds, the median of their ratios, the highest peak."""
    rows = ["| command | seconds | ÷ run | CPU seconds | ÷ run | peak MiB |", "|---|---|---|---|---|---|"]
    for name, taken in runs.items():
        cells = [name]
        for field in ("seconds", "cpu_seconds"):
            cells += [f"{min(getattr(one, field) for one in taken):.1f}", f"{ratio(taken, runs['run'], field):.2f}"]
        rows.append(f"| {' | '.join(cells)} | {max(one.peak_bytes for one in taken) / 2**20:,.0f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
