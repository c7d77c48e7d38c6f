"""The engine of Spark: its steps here, on batches of a few rows; whole runs on Sail in an environment of its own."""

from __future__ import annotations

import bz2
import gzip
import os
import pickle
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import etl
from etl.engines import spark_cluster, spark_sessions, spark_worker
from etl.engines.spark_worker import HASHES, LOSERS, PLACE, SUSPECTED
from etl.errors import AccountingError, UsageError
from etl.options import RunOptions
from etl.runner import run as running
from etl.runner import stage_inputs, tasks
from etl.runner.engine import Engine, Settled, TaskContext
from etl.runner.pieces import Piece
from etl.runner.stage_inputs import RunRequest, run_request
from etl.sources import bundles, small_inputs
from etl.sources.storage import surveys
from etl.sources.storage.store_paths import folder_of
from etl.warehouse.load import load
from etl.warehouse.snapshots import open_for_reading, scan_pinned
from tests import adversary
from tests.case_files import FOLDER
from tests.commands import assert_refused, run
from tests.effort import IS_THOROUGH, draws
from tests.warehouses import tables

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-spark" / "bin" / "python"


class TinyBatches:
    """Does here what `Cluster` asks of Spark, on batches of a few rows; polars counts, sorts and groups."""

    knows_repeats = False
    bundle_bytes = 64 * 2**20

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def map(self, function: Callable[..., Any], calls: list[tuple[Any, ...]], threads: Any = None) -> Iterator[Any]:  # noqa: ARG002
        context = TaskContext(lambda size, records: None, lambda hashes: np.zeros(len(hashes), bool), is_remote=True)
        for call in pickle.loads(pickle.dumps(calls)):
            yield pickle.loads(pickle.dumps(function(context, *call)))

    def settle(self, pieces: list[Piece], stage: Path, ruleset: etl.Ruleset) -> Settled:
        chunks = [pickle.dumps([piece]) for piece in pieces]
        numbers = pl.DataFrame({"id": range(len(chunks))}, {"id": pl.Int64})
        hashes = self._received(spark_worker.read_hashes(self._batches(numbers), stage, chunks), HASHES)
        repeated = self._ordered(hashes.filter(pl.len().over("key_hash") > 1), ["chunk"], ["key_hash"])
        suspects = self._received(spark_worker.read_suspects(self._batches(repeated), stage, chunks), SUSPECTED)
        key = ["key_hash", "account_id", "integration", "event", "transaction_key"]
        ordered = self._ordered(suspects, key, ["received_at", "source_digest", "record_no"])
        losers = self._received(spark_worker.find_losers(self._batches(ordered), ruleset.dedup_window), LOSERS)
        by_piece = self._ordered(losers, ["task", "number"], ["conversion_id"])
        missed: dict[int, list[int]] = {}
        for batch in spark_worker.stage_losers(self._batches(by_piece), stage):
            for task, number in zip(*batch.to_pydict().values(), strict=True):
                missed.setdefault(task, []).append(number)
        return Settled(pieces, missed)

    def _ordered(self, rows: pl.DataFrame, group: list[str], order: list[str]) -> pl.DataFrame:
        place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(group).alias(PLACE)
        return rows.sort(*group, *order, nulls_last=True).with_columns(place)

    def _batches(self, rows: pl.DataFrame) -> Iterator[pa.RecordBatch]:
        """Batches of the same rows, some of them empty."""
        batches = rows.to_arrow(compat_level=pl.CompatLevel.oldest()).to_batches(self.rows)
        return iter([part for batch in batches for part in (batch, batch.slice(0, 0))])

    def _received(self, batches: Iterator[pa.RecordBatch], schema: pl.Schema) -> pl.DataFrame:
        received = list(batches)
        names = [batch.schema.names for batch in received]
        assert names == [schema.names()] * len(received)
        rows = [pl.from_arrow(pa.Table.from_batches([batch])) for batch in received]
        return pl.concat(rows) if rows else signed(schema).to_frame()


def signed(schema: pl.Schema) -> pl.Schema:
    """The columns as they pass."""
    numbers = (pl.UInt64, pl.Datetime("us", "UTC"))
    return pl.Schema({name: pl.Int64() if dtype in numbers else dtype for name, dtype in schema.items()})


def published(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def request_on(engine: Engine, inputs: Path, out: Path, **options: Any) -> RunRequest:
    @contextmanager
    def opened(_jobs: int, _meter: object) -> Iterator[Engine]:
        yield engine

    return replace(run_request([str(inputs)], out, RunOptions(**options), opened), is_remote=True)


def run_with(engine: Engine, inputs: Path, out: Path, **options: Any) -> dict[str, Any]:
    return running.run_job(request_on(engine, inputs, out, **options))


CASES = [
    case
    for path in sorted(FOLDER.glob("*.toml"))
    for case in tomllib.loads(path.read_text("utf-8"))["case"]
    if case["ruling"] == "6.3"
]


def write_cases(folder: Path) -> None:
    """The inputs of all cases of duplicates, those of a kind as one, and what the adversary invents."""
    for kind in ("log", "dump"):
        texts = [case[kind] for case in CASES if kind in case]
        for i in range(0, len(texts), 8):
            (folder / f"{kind}{i}").write_text("".join(texts[i : i + 8]), "utf-8")
    for seed in range(2):
        (folder / f"adversary{seed}.log").write_bytes(adversary.log_lines(seed, draws(25, 400)) * 2)


@pytest.mark.parametrize(("window", "batch_rows"), [(None, 2), (timedelta(hours=1), 5)], ids=["for ever", "a window"])
def test_duplicates_are_found_a_few_rows_at_a_time(
    window: timedelta | None, batch_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "ROWS_PER_PIECE", 60)
    monkeypatch.setattr(running, "ROWS_PER_PIECE", 60)
    monkeypatch.setattr(small_inputs, "TOGETHER_BYTES", 8_000)
    (tmp_path / "in").mkdir()
    write_cases(tmp_path / "in")
    options: dict[str, Any] = {"ruleset": replace(etl.Ruleset(), dedup_window=window), "unknown": "skip"}
    options |= {"account": "acme", "integration": "shop", "min_matched": 0.0}
    summary = etl.run(tmp_path / "in", tmp_path / "here", **options)
    assert summary["rejections"]["by_reason"]["duplicate_transaction"] > 30
    run_with(TinyBatches(batch_rows), tmp_path / "in", tmp_path / "there", **options)
    assert published(tmp_path / "there") == published(tmp_path / "here")


def test_the_cases_of_scopes_and_windows_a_few_rows_at_a_time(tmp_path: Path) -> None:
    rulesets = sorted({case["ruleset"] for case in CASES if "ruleset" in case})
    quick = ('dedup_scope = "transaction"', 'dedup_window = "10s"')
    assert set(quick) < set(rulesets)
    for number, ruleset in enumerate(rulesets if IS_THOROUGH else quick):
        base = tmp_path / str(number)
        (base / "in").mkdir(parents=True)
        for i, case in enumerate(case for case in CASES if case.get("ruleset") == ruleset):
            (base / "in" / f"{i}").write_text(case.get("log") or case["dump"], "utf-8")
        options = {"ruleset": etl.parse_ruleset(ruleset, "a"), "account": "acme", "integration": "shop"}
        etl.run(base / "in", base / "here", **options)
        run_with(TinyBatches(1), base / "in", base / "there", **options)
        assert published(base / "there") == published(base / "here")


def test_compressed_inputs_are_cut_as_on_one_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One machine keeps decompressed copies; a worker makes one for all splits of a bundle."""
    monkeypatch.setattr(tasks, "ROWS_PER_PIECE", 60)
    monkeypatch.setattr(running, "ROWS_PER_PIECE", 60)
    monkeypatch.setattr(stage_inputs, "SPLIT_BYTES", 30_000)
    monkeypatch.setattr(surveys, "_COPIED_BYTES", 0)
    folder = tmp_path / "in"
    folder.mkdir()
    lines = gzip.decompress((ROOT / "sample_data" / "access.log.gz").read_bytes()).splitlines(keepends=True)
    log = [b"".join(lines[i : i + 200]) for i in (0, 100, 250)]
    (folder / "a.log.gz").write_bytes(gzip.compress(log[0]))
    (folder / "b.log.bz2").write_bytes(bz2.compress(log[1]))
    with zipfile.ZipFile(folder / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c.log", log[2])
    etl.run(folder, tmp_path / "here", min_matched=0.0)
    opened: list[str] = []
    open_split = bundles.open_split
    monkeypatch.setattr(bundles, "open_split", lambda split: opened.append(split.source) or open_split(split))
    run_with(TinyBatches(200), folder, tmp_path / "there", min_matched=0.0)
    assert published(tmp_path / "there") == published(tmp_path / "here")
    assert len(set(opened)) == 3
    assert len(opened) <= 6  # once for the records of each, once for its duplicates


@pytest.mark.parametrize("kind", ["folder", "store"])
def test_workers_load_a_warehouse_as_this_machine_does(
    kind: str, tmp_path: Path, make_bucket: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "ROWS_PER_PIECE", 400)
    into = str(tmp_path / "there") if kind == "folder" else f"{make_bucket('loads')}/house"
    lines = gzip.decompress((ROOT / "sample_data" / "access.log.gz").read_bytes()).splitlines(keepends=True)
    (tmp_path / "in").mkdir()
    for name, some in {"a": lines[:900], "b": lines[600:1500], "a again": lines[:1000]}.items():
        (tmp_path / "in" / f"{name}.log").write_bytes(b"".join(some))
        here = etl.load(tmp_path / "in", tmp_path / "here")
        there = load(request_on(TinyBatches(100), tmp_path / "in", tmp_path), into)
        own = ("run_id", "warehouse", "peak_memory_bytes", "seconds")
        assert {**there, **dict.fromkeys(own)} == {**here, **dict.fromkeys(own)}
        assert stored_tables(into) == stored_tables(str(tmp_path / "here"))
    assert here["demoted"] + here["rejections_by_reason"]["duplicate_transaction"] > 0
    if kind == "folder":
        assert not list((tmp_path / "there" / ".staging").glob("*/"))
    else:
        assert not [str(file) for file in folder_of(into).files() if ".staging" in str(file)]  # type: ignore[union-attr]


def stored_tables(warehouse: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of the four tables, and those of the keys."""
    keys = scan_pinned(open_for_reading(warehouse), "keys").sort("conversion_id").collect().to_dicts()
    return {**tables(warehouse), "keys": keys}


def test_rows_in_another_order_are_refused() -> None:
    rows = pl.DataFrame({"task": [1, 1, 2], "number": [0, 0, 0], PLACE: [1, 2, 1]})
    schema = pl.Schema({"task": pl.Int64, "number": pl.Int64})

    def in_order(*order: int) -> list[int]:
        batches = [rows[[number]].to_arrow().to_batches()[0] for number in order]
        return [part["task"][0] for part in spark_worker._in_order(iter(batches), schema, "task", "number")]

    assert in_order(0, 1, 2) == [1, 1, 2]
    for order in ((1, 0, 2), (0, 2, 1), (1, 2), (0, 0, 1, 1)):
        with pytest.raises(AccountingError, match="another order"):
            in_order(*order)


def test_the_bench_of_keys_finds_what_it_made() -> None:
    sys.path.insert(0, str(ROOT / "bench"))
    import spark_sizing

    found = spark_sizing.find_among(30_000)
    assert found["losers"] == found["expected"] > 0


# --- the command -------------------------------------------------------------------------------------------------


def test_what_spark_cannot_do_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    command = ("run", "--out", tmp_path / "out", "--engine", "spark")
    assert_refused(run(*command, "-", stdin=b"x", code=2), "- can be read by this process alone")
    assert_refused(run(*command, "/dev/stdin", stdin=b"x", code=2), "/dev/stdin can be read by this process alone")
    places = ("--spark-master", "local[2]", "--spark-remote", "sc://localhost")
    assert_refused(run(*command, tmp_path / "a.log", *places, code=2), "name two places")
    assert_refused(run(*command, tmp_path / "a.log", code=2), "needs pyspark", "pip install")
    (tmp_path / "01.log").touch()
    for command in ("load", "backfill --from 2024-05-01 --to 2024-05-01"):
        name, *days = command.split()
        inputs = tmp_path / "a.log" if not days else tmp_path / "{date:%d}.log"
        loaded = run(name, inputs, *days, "--into", tmp_path / "warehouse", "--engine", "spark", code=None)
        assert b"needs pyspark" in loaded.stderr + loaded.stdout


@pytest.mark.parametrize("address", ["sc://127.0.0.1:1", "localhost:15002", "sc://localhost:text"])
def test_a_server_that_is_not_there_is_told_at_once(address: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)--spark-remote .*start the server first"):
        spark_sessions._check_server(address)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("RuntimeError: a\nzipfile.BadZipFile: b\nValueError: c\n\tat org.apache.spark", "Spark failed: ValueError: c"),
        ('<RPC of\n\tdetails = "no such session"\n>', "no such session"),
        ("ModuleNotFoundError: No module named 'etl'\n", "The workers of Spark cannot import this package: No module"),
        ("[FAILED] The job failed.\nMore of it.", "Spark failed: [FAILED] The job failed."),
    ],
)
def test_an_error_of_spark_becomes_two_lines(text: str, told: str) -> None:
    error = spark_cluster.failure_of(RuntimeError(text))
    assert told in error.problem
    assert len(str(error).splitlines()) == 2


@pytest.mark.skipif(not PYTHON.exists(), reason="`make test` makes the environment of Sail: no test of Spark has run")
def test_sail_publishes_what_one_machine_publishes(make_bucket: Callable[[str], str]) -> None:
    """`tests/on_spark.py` in the environment of Sail, whose workers are threads of that process."""
    words = ["-m", "pytest", "--noconftest", "-o", "filterwarnings=", "-p", "no:cacheprovider", "tests/on_spark.py"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SPARK_"))}
    env["S3_BUCKET"] = make_bucket("spark")
    finished = subprocess.run([PYTHON, *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-1000:]
