"""What a run on Spark takes: measured for a small log, computed for a large one.

    .venv-pyspark/bin/python bench/spark_sizing.py measure --master 'local[2]' --lines 1000000 --out two.json
    .venv/bin/python bench/spark_sizing.py keys --rows 2000000
    .venv/bin/python bench/spark_sizing.py size two.json one.json --terabytes 1 --slots 64

`measure` runs the job on a generated log in a warm session, and writes down processor time, shuffled bytes, files and
memory. `size` multiplies the first measurement up to any size; what it foretells for the others stands beside what they
took. `keys` feeds the step that finds duplicates with generated keys: its time a key, and its memory, which must not
grow with their number.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
DATA: Final = HERE / "data"
sys.path.insert(0, str(HERE.parent))

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_TERABYTE: Final = 10**12
_RANGE_BYTES: Final = 4 * 2**20
_HASH_ROW_BYTES: Final = 24  # of Spark: 8 bytes a column, 8 for nulls
_SORTED_ROW_BYTES: Final = 16  # a pointer and a prefix beside each row that is sorted
_HEAP_BYTES: Final = 2**30
_USD_PER_PUT: Final = 5e-6
_USD_PER_GET: Final = 4e-7


# --- measure: needs pyspark and Java ---------------------------------------------------------------------------------


def measure(master: str, lines: int) -> dict[str, Any]:
    """Runs the job once on a log of so many lines, after a run on the samples has warmed the session up."""
    from pyspark.sql import SparkSession

    import etl.spark
    from etl.runner.publish import Stage

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = str(HERE.parent)
    spark = SparkSession.builder.master(master).config("spark.ui.showConsoleProgress", "false").getOrCreate()
    log, out = generated(lines), DATA / "spark-tables"
    shutil.rmtree(out, ignore_errors=True)
    for _ in range(2):
        etl.spark.run(spark, HERE.parent / "sample_data" / "access.log.gz", out)
    staged: dict[str, int] = {}
    publish = Stage.publish

    def publish_counted(stage: Stage, manifest: dict[str, Any]) -> None:
        for name, folder in (("staged", stage.pieces), ("published", stage.new)):
            sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
            staged[f"{name}_files"], staged[f"{name}_bytes"] = len(sizes), sum(sizes)
        publish(stage, manifest)

    Stage.publish = publish_counted  # type: ignore[method-assign]
    java = spark.sparkContext._gateway.proc.pid
    before, shuffled, began = processor_seconds(java), stages(spark), time.monotonic()
    summary = etl.spark.run(spark, log, out).summary
    seconds, after, reached = time.monotonic() - began, processor_seconds(java), stages(spark)
    workers = [pid for pid in descendants(java) if pid != java]
    duplicates = summary["rejections"]["by_reason"].get("duplicate_transaction", 0)
    result = {
        "master": master,
        "lines": summary["records"],
        "bytes": log.stat().st_size,
        "keys": summary["conversions"] + duplicates,
        "seconds": round(seconds, 1),
        **{name: round(after[name] - before[name], 1) for name in after},
        **{name: reached[name] - shuffled[name] for name in reached},
        **staged,
        "worker_peak_bytes": max(peak_bytes(pid) for pid in workers),
    }
    spark.stop()
    return result


def generated(lines: int) -> Path:
    """A log of so many lines, made if it is not there."""
    path = DATA / f"log-{lines}.log"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        command = [sys.executable, HERE / "generate.py", "--lines", str(lines), "--seed", "1", "--format", "log"]
        subprocess.run([*command, "--out", path], check=True)
    return path


def descendants(root: int) -> Iterator[int]:
    """The process and all that it started."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents.setdefault(int(stat_of(int(place.parent.name))[1]), []).append(int(place.parent.name))
        except OSError:
            continue
    waiting = [root]
    while waiting:
        yield (pid := waiting.pop())
        waiting += parents.get(pid, [])


def stat_of(pid: int) -> list[str]:
    """The fields of a process after its name: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def processor_seconds(java: int) -> dict[str, float]:
    """Processor seconds so far of Java, of its Python workers and of this process, with children that ended."""
    ticks = {}
    for pid in descendants(java):
        with suppress(OSError):  # it has ended
            ticks[pid] = sum(map(int, stat_of(pid)[11:15]))
    own = os.times()
    workers = sum(ticks.values()) - ticks[java]
    return {"java": ticks[java] / _TICKS, "python": workers / _TICKS, "driver": own.user + own.system}


def stages(spark: Any) -> dict[str, int]:
    """What the stages of the session have shuffled so far, and their tasks."""
    context = spark.sparkContext
    address = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/stages"
    time.sleep(1)  # the UI counts a little later
    with urllib.request.urlopen(address) as answer:
        found = json.load(answer)
    return {
        "tasks": sum(one["numCompleteTasks"] for one in found),
        "shuffled_bytes": sum(one["shuffleWriteBytes"] for one in found),
        "spilled_bytes": sum(one["diskBytesSpilled"] for one in found),
    }


def peak_bytes(pid: int) -> int:
    """The peak of a process's memory; 0 if it has ended."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        return 0
    return int(status.get("VmHWM", "0").split()[0]) * 1024


# --- keys: the step that finds duplicates, without Spark -------------------------------------------------------------


def find_among(rows: int) -> dict[str, Any]:
    """Finds the duplicates among so many generated keys, of which a third are one key and the others come in pairs."""
    from etl.engines import spark_worker

    hot, batch_rows = rows // 3, 8192
    resident: list[int] = []

    def batches() -> Iterator[Any]:
        for first in range(0, rows, batch_rows):
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            yield keys(first, min(batch_rows, rows - first), hot)

    generating = time.process_time()
    for first in range(0, rows, batch_rows):
        keys(first, min(batch_rows, rows - first), hot)
    generating = time.process_time() - generating
    began = time.process_time()
    losers = sum(batch.num_rows for batch in spark_worker.find_losers(batches(), None))
    quarter = len(resident) // 4
    return {
        "rows": rows,
        "losers": losers,
        "expected": hot - 1 + (rows - hot) // 2,
        "microseconds_a_key": round((time.process_time() - began - generating) / rows * 1e6, 2),
        "resident_mib_by_quarter": [max(resident[i * quarter : (i + 1) * quarter]) // 2**20 for i in range(4)],
    }


def keys(first: int, count: int, hot: int) -> Any:
    """A batch of keys as Spark hands them over: sorted, each with its place among the rows of its key."""
    import polars as pl

    from etl.engines.spark_worker import PLACE, SUSPECTED, _sent

    number = pl.int_range(first, first + count, dtype=pl.Int64, eager=True)
    is_hot = number < hot
    key = pl.DataFrame({"n": number}).select(pl.when(pl.col("n") < hot).then(0).otherwise((pl.col("n") - hot) // 2 + 1))
    columns: dict[str, Any] = {
        "key_hash": key.to_series().cast(pl.UInt64),
        "conversion_id": number.cast(pl.String).str.zfill(32),
        "transaction_key": key.to_series().cast(pl.String),
        "received_at": pl.Series([None], dtype=SUSPECTED["received_at"]).new_from_index(0, count),
        "record_no": number,
        "task": number // 400_000,
        "number": number // 50_000,
    }
    first_rows = {pl.String(): "acme", pl.Int64(): 0}
    others = {name: pl.Series([first_rows.get(kind)], dtype=kind) for name, kind in SUSPECTED.items()}
    filled = {name: value.new_from_index(0, count) for name, value in others.items()}
    rows = pl.DataFrame({**filled, **columns}).select(SUSPECTED.names())
    place = pl.select(pl.when(is_hot).then(number + 1).otherwise((number - hot) % 2 + 1)).to_series()
    (batch,) = _sent(rows, SUSPECTED)
    return batch.append_column(PLACE, place.cast(pl.Int64).to_arrow())


# --- size: arithmetic ------------------------------------------------------------------------------------------------


def size(measured: dict[str, Any], terabytes: float, slots: int) -> dict[str, str]:
    """What a run takes by a measurement."""
    from etl.engines.spark_cluster import _MOST_PARTITIONS, _RECORDS_PER_PARTITION, Cluster

    input_bytes = terabytes * _TERABYTE
    times = input_bytes / measured["bytes"]
    lines, keys_there = measured["lines"] * times, measured["keys"] * times
    core_seconds = (measured["python"] + measured["java"]) * times
    partitions = min(_MOST_PARTITIONS, 1 + int(lines) // _RECORDS_PER_PARTITION)
    a_partition = keys_there / partitions * (_HASH_ROW_BYTES + _SORTED_ROW_BYTES)
    staged, published = measured["staged_files"] * times, measured["published_files"] * times
    gets = 2 * input_bytes / _RANGE_BYTES + 2 * staged
    dollars = (staged + published) * _USD_PER_PUT + gets * _USD_PER_GET
    worker = measured["worker_peak_bytes"]
    return {
        "lines; keys": f"{lines / 1e9:.1f}e9; {keys_there / 1e9:.1f}e9",
        "processor time": f"{core_seconds / 3600:.0f} core hours",
        f"wall, {slots} slots at 80 %": f"{core_seconds / slots / 0.8 / 60:.0f} minutes",
        "bundles of splits": f"{input_bytes / Cluster.bundle_bytes:,.0f}",
        "shuffle": f"{measured['shuffled_bytes'] * times / 1e9:.0f} GB, "
        f"{measured['shuffled_bytes'] / measured['keys']:.0f} bytes a key",
        "keys in one of the partitions": f"{keys_there / partitions:,.0f} in {partitions:,}, "
        f"{a_partition / 2**20:.0f} MiB with their sort",
        "staged": f"{measured['staged_bytes'] * times / 1e9:.0f} GB in {staged:,.0f} files",
        "published": f"{measured['published_bytes'] * times / 1e9:.0f} GB in {published:,.0f} files",
        "input": f"{2 * terabytes:.0f} TB read: for the digests, then for the records",
        "requests of a store": f"{staged + published:,.0f} puts, {gets:,.0f} gets: {dollars:.0f} USD",
        "memory": f"{slots} slots of {_HEAP_BYTES / 2**30:.0f} GiB heap and {worker / 2**30:.2f} GiB Python: "
        f"{slots * (_HEAP_BYTES + worker) / 2**30:.0f} GiB",
    }


#: What grows with the lines, and is foretold.
_FORETOLD: Final = ("python", "java", "shuffled_bytes", "staged_bytes", "staged_files", "published_bytes")


def check(measured: dict[str, Any], other: dict[str, Any]) -> str:
    """What the other measurement took, divided by what the first foretells for its size."""
    times = other["bytes"] / measured["bytes"]
    found = (f"{name} {other[name] / (measured[name] * times):.2f}" for name in _FORETOLD)
    return f"{other['master']}, {other['lines']:,} lines, measured ÷ foretold: {', '.join(found)}"


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def add(name: str, call: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        command = commands.add_parser(name)
        command.set_defaults(call=call)
        return command

    measuring = add("measure", lambda given: given.out.write_text(json.dumps(measure(given.master, given.lines))))
    measuring.add_argument("--master", default="local[2]")
    measuring.add_argument("--lines", type=int, default=1_000_000)
    measuring.add_argument("--out", type=Path, required=True)
    finding = add("keys", lambda given: print(json.dumps(find_among(given.rows))))
    finding.add_argument("--rows", type=int, default=2_000_000)
    sizing = add("size", report)
    sizing.add_argument("measured", type=Path, nargs="+")
    sizing.add_argument("--terabytes", type=float, default=1)
    sizing.add_argument("--slots", type=int, default=64)
    given = parser.parse_args()
    given.call(given)


def report(given: argparse.Namespace) -> None:
    """Prints what a run takes as a table, and the check."""
    measured, *others = (json.loads(path.read_text()) for path in given.measured)
    for name, value in size(measured, given.terabytes, given.slots).items():
        print(f"| {name} | {value} |")
    for other in others:
        print(check(measured, other))


if __name__ == "__main__":
    main()
