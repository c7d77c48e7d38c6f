"""Measures the job on generated logs against the floor: polars reading the lines and writing finished tables.

    python bench/bench.py [--lines N] [--rounds N]

Every round runs all contenders in turn, each in a process of its own, so that a noisy machine is noisy for all of them;
the medians and their ratios are printed as a table and written to bench/data/result.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE / "data"

#: Reads the lines, and writes the tables of an earlier run from memory: what no engine of ours could leave out.
FLOOR = """
import sys, polars as pl
log, tables, out = sys.argv[1:]
pl.scan_lines(log).select(pl.len()).collect()
for table in ("conversions", "items", "passthroughs", "rejections"):
    rows = pl.read_parquet(f"{tables}/{table}/*.parquet")
    rows.write_parquet(f"{out}.{table}.parquet", compression="zstd", compression_level=1)
"""


def contenders(lines: int) -> dict[str, list[str]]:
    """Name -> command, in the order in which they run; the floor needs the tables of the first."""
    log, gzipped, dump = (DATA / f"{lines}.{kind}" for kind in ("log", "log.gz", "jsonl"))
    for path, form, flags in ((log, "log", []), (gzipped, "log", ["--gzip"]), (dump, "jsonl", [])):
        if not path.exists():
            command = [sys.executable, HERE / "generate.py", "--lines", str(lines), "--format", form, "--out", path]
            subprocess.run([*command, *flags], check=True)
    run = [sys.executable, "-m", "etl", "run", "--quiet", "--out"]
    return {
        "log": [*run, str(DATA / "out"), str(log)],
        "floor": [sys.executable, "-c", FLOOR, str(log), str(DATA / "out"), str(DATA / "floor")],
        "log, gzip": [*run, str(DATA / "out-gzip"), str(gzipped)],
        "JSON lines": [*run, str(DATA / "out-jsonl"), str(dump)],
    }


def measure(command: list[str]) -> tuple[float, int]:
    """Seconds, and the peak of the largest process in bytes."""
    before = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - before, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    commands = contenders(arguments.lines)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    peaks: dict[str, int] = {}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            taken, peak = measure(command)
            seconds[name].append(taken)
            peaks[name] = max(peaks.get(name, 0), peak)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    packages = {name: version(name) for name in ("polars", "pyarrow", "numpy", "orjson", "polars-hash")}
    print(f"\n{arguments.lines:,} lines, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}\n")
    print("| input | seconds | lines/s | ratio to floor | peak of one process, MiB |\n|---|---|---|---|---|")
    for name, median in medians.items():
        rate = f"{arguments.lines / median:,.0f}" if name != "floor" else ""
        print(f"| {name} | {median:.2f} | {rate} | {median / medians['floor']:.2f} | {peaks[name] / 2**20:,.0f} |")
    result = {
        "lines": arguments.lines,
        "cores": os.cpu_count(),
        "packages": packages,
        "seconds": seconds,
        "peaks": peaks,
    }
    (DATA / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    for leftover in DATA.glob("out*"):
        shutil.rmtree(leftover)


if __name__ == "__main__":
    main()
