"""The same job on Spark: its published folder is that of one machine, byte for byte.

`tests/test_spark.py` runs this file on Sail, and `make spark` on Spark itself: in an environment of its own, which has
pyspark and pytest, in one session. SPARK_MASTER names the master of Spark; without it the server is Sail.
"""

from __future__ import annotations

import filecmp
import gzip
import os
import signal
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
import etl.spark
from etl.engines import spark_cluster
from etl.engines.spark_cluster import Cluster
from etl.errors import EtlError, InputError, UsageError
from etl.options import RunOptions
from etl.rules.ruleset import Ruleset
from etl.runner import run as running
from etl.runner import tasks
from etl.runner.engine import Engine, TaskContext
from etl.runner.run import run_job
from etl.runner.stage_inputs import RunRequest, run_request
from etl.schema import TABLES
from etl.sources.storage.store_paths import folder_of
from etl.warehouse.snapshots import open_for_reading, scan_pinned
from etl.warehouse.stores import open_store

ROOT = Path(__file__).parents[1]
SAMPLES = [ROOT / "sample_data" / "access.log.gz", ROOT / "sample_data" / "webhooks.jsonl"]
LINES = gzip.decompress(SAMPLES[0].read_bytes()).splitlines(keepends=True)
MASTER = os.environ.get("SPARK_MASTER", "")

spark_cluster._RECORDS_PER_PARTITION = 700  # type: ignore[misc] # so that several partitions take part


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session whose time zone is not UTC, and whose batches are small."""
    from pyspark.sql import SparkSession

    if MASTER:
        os.environ["PYSPARK_PYTHON"] = sys.executable
        options = {
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "3",
            "spark.executorEnv.PYTHONPATH": str(ROOT),  # for executors that are processes of their own
            "spark.deploy.maxExecutorRetries": "-1",
        }
        session = SparkSession.builder.master(MASTER).config(map=options).getOrCreate()
    else:
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
        host, port = server.listening_address
        session = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
    session.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "37")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that repeat each other's records: plain, compressed, with other line ends, a copy, and one without any."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / "a.log").write_bytes(b"".join(LINES[:600]))
    (folder / "b.log.gz").write_bytes(gzip.compress(b"".join(LINES[400:1000])))
    (folder / "c.log").write_bytes(b"".join(LINES[800:1200] * 2).replace(b"\n", b"\r\n"))
    (folder / "copy.log").write_bytes(b"".join(LINES[:600]))
    (folder / "empty.log").write_bytes(b"")
    (folder / "hot.log").write_bytes(b"".join(LINES[:60] * 10))
    return folder


def on(spark: Any, inputs: str, out: str) -> RunRequest:
    """The request of a run whose tables no frame of Spark reads."""

    @contextmanager
    def opened(_jobs: int, _meter: object) -> Iterator[Engine]:
        yield Cluster(spark)

    return run_request([inputs], folder_of(out), RunOptions(), opened)


def difference(left: Path, right: Path) -> list[str]:
    """What `diff -r` would say."""
    names = {path.relative_to(folder) for folder in (left, right) for path in folder.rglob("*") if path.is_file()}
    return sorted(
        str(name)
        for name in names
        if not ((left / name).exists() and (right / name).exists())
        or not filecmp.cmp(left / name, right / name, shallow=False)
    )


TRANSACTIONS = Ruleset(dedup_scope="transaction")
CASES: dict[str, dict[str, Any]] = {
    "everything": {},
    "a window": {"ruleset": Ruleset(dedup_window=timedelta(minutes=10)), "records_per_file": 1_000},
    "scope and period": {
        "ruleset": TRANSACTIONS,
        "pii": "drop",
        "since": "2024-05-15",
        "until": "2024-05-16",
        "partition_by": "day",
    },
    "no deduplication": {"ruleset": Ruleset(dedup_scope="off"), "pii": "keep"},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_files_that_repeat_each_other(
    options: dict[str, Any], spark: Any, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not MASTER:  # the workers of Sail are threads of this process: pieces of few rows
        monkeypatch.setattr(tasks, "ROWS_PER_PIECE", 400)
        monkeypatch.setattr(running, "ROWS_PER_PIECE", 400)
    here = etl.run(logs, tmp_path / "here", **options)
    there = etl.spark.run(spark, logs, tmp_path / "there", **options)
    assert difference(tmp_path / "here", tmp_path / "there") == []
    assert there.conversions.count() == here["conversions"] == there.summary["conversions"]
    assert there.summary["records"] == here["records"] > 2_000


def test_samples_of_two_formats(spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    inputs = [path.relative_to(ROOT) for path in SAMPLES]
    options = {"account": "acme", "integration": "shop", "default_currency": "EUR"}
    etl.run(inputs, tmp_path / "here", **options)
    tables = etl.spark.run(spark, inputs, tmp_path / "there", **options)
    assert difference(tmp_path / "here", tmp_path / "there") == []
    assert dict(tables.conversions.dtypes)["value"] == "decimal(38,9)"


@pytest.mark.skipif(not MASTER, reason="tests/test_spark.py cuts a smaller one")
def test_a_compressed_input_of_several_splits(spark: Any, tmp_path: Path) -> None:
    """One machine keeps a decompressed copy of it, and so does the worker."""
    log = b"".join(LINES) * (20 * 2**20 // sum(map(len, LINES)))
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(log, 0))
    etl.run(tmp_path / "a.log.gz", tmp_path / "here")
    etl.spark.run(spark, tmp_path / "a.log.gz", tmp_path / "there")
    assert len(list((tmp_path / "here" / "rejections").iterdir())) > 1
    assert difference(tmp_path / "here", tmp_path / "there") == []


def test_an_input_without_records(spark: Any, tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    etl.run(tmp_path / "a.log", tmp_path / "here", format="combined")
    etl.spark.run(spark, tmp_path / "a.log", tmp_path / "there", format="combined")
    assert difference(tmp_path / "here", tmp_path / "there") == []


@pytest.mark.skipif("S3_BUCKET" not in os.environ, reason="no server of S3's protocol")
def test_inputs_stage_and_tables_in_a_store(spark: Any, logs: Path, tmp_path: Path) -> None:
    bucket = os.environ["S3_BUCKET"]
    for name in ("a.log", "b.log.gz", "c.log"):
        (folder_of(f"{bucket}/logs") / name).write_bytes((logs / name).read_bytes())  # type: ignore[union-attr]
    etl.run(f"{bucket}/logs/", tmp_path / "here")
    summary = run_job(on(spark, f"{bucket}/logs/", f"{bucket}/tables"))
    tables = open_store(f"{bucket}/tables").tables
    assert summary["conversions"] == tables[0].collect().height
    for table, rows in zip(TABLES, tables, strict=True):
        assert rows.collect().equals(pl.read_parquet(tmp_path / "here" / table.name))


@pytest.mark.parametrize("place", ["folder", "store"])
def test_a_warehouse_is_loaded(place: str, spark: Any, logs: Path, tmp_path: Path) -> None:
    if place == "store" and "S3_BUCKET" not in os.environ:
        pytest.skip("no server of S3's protocol")
    into = str(tmp_path / "there") if place == "folder" else f"{os.environ['S3_BUCKET']}/warehouse"
    for name in ("a.log", "*"):
        etl.load(logs / name, tmp_path / "here")
        etl.spark.load(spark, logs / name, into)
    there, here = (open_for_reading(str(one)) for one in (into, tmp_path / "here"))
    for table in ("conversions", "items", "passthroughs", "rejections", "keys"):
        order = ["rejection_id"] if table == "rejections" else ["conversion_id"]
        order += {"items": ["position"], "passthroughs": ["name"]}.get(table, [])
        rows = [scan_pinned(one, table).sort(order).collect() for one in (there, here)]
        assert rows[0].height
        assert rows[0].equals(rows[1])


# --- faults ------------------------------------------------------------------------------------------------------


def done_twice(context: TaskContext, function: Callable[..., Any], _folder: Path, *task: Any) -> Any:
    """Runs a task as two attempts do."""
    function(context, *task)
    return function(context, *task)


def failing_before(context: TaskContext, function: Callable[..., Any], folder: Path, *task: Any) -> Any:
    """Fails the first time that a function is called."""
    fail_once(folder / function.__name__)
    return function(context, *task)


def failing_after(context: TaskContext, function: Callable[..., Any], folder: Path, *task: Any) -> Any:
    """Fails the first time that a function has done its work."""
    result = function(context, *task)
    fail_once(folder / function.__name__)
    return result


def dying(context: TaskContext, function: Callable[..., Any], folder: Path, *task: Any) -> Any:
    """Ends the process of its worker the first time that a function is called."""
    try:
        fail_once(folder / function.__name__)
    except RuntimeError:
        os._exit(1)
    return function(context, *task)


def fail_once(mark: Path) -> None:
    if FAILING and mark.name not in FAILING:
        return
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    raise RuntimeError("a planted fault")


#: What fails once. A server that does not repeat tasks needs a run for each.
FAILING = () if MASTER else ("transform_splits", "write_part")


@pytest.mark.parametrize("fault", [done_twice, failing_before, failing_after, *([dying] if MASTER else [])])
def test_a_task_that_fails_or_runs_twice(
    fault: Callable[..., Any], spark: Any, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = tmp_path / "faults"
    faults.mkdir()
    called = Cluster.map

    def faulty(self: Cluster, function: Callable[..., Any], calls: list[tuple[Any, ...]], _: Any = None) -> Any:
        return called(self, fault, [(function, faults, *call) for call in calls])

    etl.run(logs / "hot.log", tmp_path / "here")
    monkeypatch.setattr(Cluster, "map", lambda self, function, calls, threads=None: faulty(self, function, calls))
    for _ in range(8):  # Spark repeats a task that fails; where a server does not, the run fails as a whole
        try:
            etl.spark.run(spark, logs / "hot.log", tmp_path / "there")
            break
        except EtlError as error:
            if MASTER or "a planted fault" not in error.problem or (tmp_path / "there").exists():
                raise
    assert difference(tmp_path / "here", tmp_path / "there") == []
    assert not (tmp_path / ".there.staging").exists()
    assert fault is done_twice or len(list(faults.iterdir())) == (len(FAILING) or 5)


@pytest.mark.skipif(not MASTER.startswith("local-cluster"), reason="no executors to kill")
def test_executors_that_are_killed(spark: Any, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step kills an executor once: when its first work is done, and before the result is sent."""
    killed = tmp_path / "killed"
    killed.mkdir()
    made = spark_cluster._step

    def killing(name: str, *arguments: Any) -> Any:
        step = made(name, *arguments)
        mark = killed / (arguments[1].__name__ if name == "call_tasks" else name)

        def run(batches: Any) -> Iterator[Any]:
            for batch in step(batches):
                kill_executor_once(mark)
                yield batch

        return run

    etl.run(logs, tmp_path / "here")
    monkeypatch.setattr(spark_cluster, "_step", killing)
    etl.spark.run(spark, logs, tmp_path / "there")
    assert difference(tmp_path / "here", tmp_path / "there") == []
    assert len(list(killed.iterdir())) == 9, sorted(path.name for path in killed.iterdir())


def kill_executor_once(mark: Path) -> None:
    """Kills the executor of which this process is a worker, and with it its tasks and what it shuffled."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    daemon = os.getppid()
    executor = int(Path(f"/proc/{daemon}/stat").read_text().rpartition(")")[2].split()[1])
    assert b"CoarseGrainedExecutorBackend" in Path(f"/proc/{executor}/cmdline").read_bytes()
    os.kill(executor, signal.SIGKILL)


def test_a_broken_input_fails_as_on_one_machine(spark: Any, logs: Path, tmp_path: Path) -> None:
    etl.run(logs / "a.log", tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    (tmp_path / "cut.log.gz").write_bytes((logs / "b.log.gz").read_bytes()[:5_000])
    with pytest.raises(InputError) as here:
        etl.run(tmp_path / "cut.log.gz", tmp_path / "out")
    with pytest.raises(InputError) as there:
        etl.spark.run(spark, tmp_path / "cut.log.gz", tmp_path / "out")
    assert str(there.value) == str(here.value)
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert not (tmp_path / ".out.staging").exists()


def test_workers_of_another_version_are_refused(
    spark: Any, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl.engines.spark_cluster.package_digest", lambda: "0" * 12)
    with pytest.raises(EtlError, match="another version of this package"):
        etl.spark.run(spark, logs, tmp_path / "out")


def test_what_only_this_machine_sees_is_refused(spark: Any, logs: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "logs.tar.gz", "w:gz") as archive:
        archive.add(logs / "a.log", "a.log")
    for name, told in (("-", "- can be read by this process alone"), (tmp_path / "logs.tar.gz", "is a temporary file")):
        with pytest.raises(UsageError, match=told):
            etl.spark.run(spark, name, tmp_path / "out")


def test_a_plain_archive_is_read(spark: Any, logs: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "logs.tar", "w") as archive:
        archive.add(logs / "a.log", "a.log")
    etl.run(tmp_path / "logs.tar", tmp_path / "here")
    etl.spark.run(spark, tmp_path / "logs.tar", tmp_path / "there")
    assert difference(tmp_path / "here", tmp_path / "there") == []
