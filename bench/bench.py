"""Measures the job on generated logs and dumps against its peers, and against the floor.

    python bench/bench.py [--lines N] [--rounds N] [--only PATTERN ...]

Every round runs all contenders in turn, each in a process of its own, so that a noisy machine is noisy for all of them.
The table shows medians; a ratio is the median of the rounds' ratios, ours divided by the other on the same input.
The last table compares the same work (hashes included), everything on, and `--pii drop`.
Memory is the peak of the sum of PSS over a contender's whole process tree, sampled every 50 ms. `--only` takes patterns
of names, such as `log:*` or `*:ours`. What is printed is also written to bench/data/result.json.
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
from collections import defaultdict
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple

from contenders import DATA, HASHES, PEERS, Contender, contenders, generate
from memory import PeakSampler

PACKAGES: Final = ("polars", "pyarrow", "numpy", "orjson", "polars-hash", "chdb", "duckdb")


class Run(NamedTuple):
    """One process: wall time, user and system time of all its processes, peak of the sum of PSS."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def measure(command: list[str]) -> Run:
    """Runs one command; ends the bench if it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    sampler = PeakSampler(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    peak = sampler.stop()
    if status:
        raise SystemExit(f"{command} failed")
    return Run(seconds, usage.ru_utime + usage.ru_stime, peak)


def run_rounds(commands: dict[str, list[str]], rounds: int) -> dict[str, list[Run]]:
    """Name -> the runs of its command, one a round."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(measure(command))
            print(f"{name} {runs[name][-1].seconds:.2f} s", file=sys.stderr)
    return runs


def median(runs: list[Run], field: str) -> float:
    """The median of one field."""
    return statistics.median(getattr(run, field) for run in runs)


def ratio(left: list[Run], right: list[Run], field: str = "seconds") -> float:
    """The median of the rounds' ratios."""
    return statistics.median(getattr(a, field) / getattr(b, field) for a, b in zip(left, right, strict=True))


def ratios(runs: dict[str, list[Run]]) -> dict[str, float]:
    """What the runs allow to compare: ours with every other on the same input, and gzip with plain."""
    pairs = [(f"{name.partition(':')[0]}:ours", name) for name in runs if not name.endswith(":ours")]
    pairs += [("log.gz:ours", "log:ours"), ("jsonl.gz:ours", "jsonl:ours")]
    return {f"{a} / {b}": ratio(runs[a], runs[b]) for a, b in pairs if a in runs and b in runs}


def rows_of(chosen: list[Contender], runs: dict[str, list[Run]], lines: int) -> list[dict[str, Any]]:
    """One row a contender: medians, and rates for those that read an input."""
    rows = []
    for name, _, source in chosen:
        seconds = median(runs[name], "seconds")
        rows.append({
            "name": name,
            "seconds": seconds,
            "cpu_seconds": median(runs[name], "cpu_seconds"),
            "records_per_second": lines / seconds if source else None,
            "megabytes_per_second": source.stat().st_size / 1e6 / seconds if source else None,
            "peak_bytes": max(run.peak_bytes for run in runs[name]),
        })  # fmt: skip
    return rows


def machine() -> dict[str, Any]:
    """Cores, processor and versions."""
    cpuinfo = Path("/proc/cpuinfo")
    models = (
        [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] if cpuinfo.exists() else []
    )
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "cores": os.cpu_count(),
        "processor": models[0].partition(": ")[2] if models else platform.processor(),
        "python": platform.python_version(),
        "packages": versions,
    }


def as_markdown(result: dict[str, Any]) -> str:
    """The result as two tables."""
    host, compared = result["machine"], result["ratios"]
    packages = ", ".join(f"{name} {number}" for name, number in host["packages"].items())
    title = (
        f"{result['lines']:,} lines, {result['rounds']} rounds, {host['cores']} cores ({host['processor']}), "
        f"Python {host['python']}, {packages}"
    )
    text = [
        title,
        "",
        "| contender | seconds | ours ÷ it | records/s | MB/s | CPU seconds | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        name = row["name"]
        against = compared.get(f"{name.partition(':')[0]}:ours / {name}")
        rates = (row["records_per_second"], row["megabytes_per_second"])
        cells = [
            *(name, f"{row['seconds']:.2f}", "" if against is None else f"{against:.2f}"),
            *("" if rate is None else f"{rate:,.0f}" for rate in rates),
            *(f"{row['cpu_seconds']:.2f}", f"{row['peak_bytes'] / 2**20:,.0f}"),
        ]
        text.append(f"| {' | '.join(cells)} |")
    others = {pair: value for pair, value in compared.items() if pair.endswith(":ours")}
    if others:
        text += ["", "| ratio | |", "|---|---|", *(f"| {pair} | {value:.2f} |" for pair, value in others.items())]
    return "\n".join([*text, "", *_against_peers(result["runs"])])


#: How ours is compared with a peer: a heading, who of us runs, and what is added to the peer's name.
_COMPARISONS: Final = (
    ("same work", "ours", HASHES),
    ("everything on ÷ without hashes", "ours", ""),
    ("`--pii drop` ÷ without hashes", "ours-drop", ""),
)


def _against_peers(runs: dict[str, list[dict[str, float]]]) -> list[str]:
    """One row an input and peer: ratios of wall time, and of processor time in brackets."""
    text = [f"| ours ÷ peer | {' | '.join(title for title, *_ in _COMPARISONS)} |", "|---|---|---|---|"]
    taken = {name: [Run(**run) for run in of] for name, of in runs.items()}
    for source in dict.fromkeys(name.partition(":")[0] for name in taken):
        for peer in PEERS:
            pairs = [(f"{source}:{who}", f"{source}:{peer}{added}") for _, who, added in _COMPARISONS]
            if all(name in taken for pair in pairs for name in pair):
                cells = [
                    f"{ratio(taken[a], taken[b]):.2f} ({ratio(taken[a], taken[b], 'cpu_seconds'):.2f})"
                    for a, b in pairs
                ]
                text.append(f"| {source}, {peer} | {' | '.join(cells)} |")
    return text if len(text) > 2 else []


def choose(lines: int, patterns: list[str]) -> list[Contender]:
    """The contenders to run, with their inputs made."""
    chosen = [c for c in contenders(lines) if any(fnmatch(c.name, pattern) for pattern in patterns)]
    for contender in chosen:
        if contender.source:
            generate(contender.source)
    return chosen


def main() -> None:
    """Runs the rounds, prints the tables, writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="such as 'log:*' or '*:ours'")
    arguments = parser.parse_args()
    chosen = choose(arguments.lines, arguments.only)
    if not chosen:
        parser.error("no contender has such a name")
    runs = run_rounds({one.name: one.command for one in chosen}, arguments.rounds)
    result = {
        "lines": arguments.lines,
        "rounds": arguments.rounds,
        "machine": machine(),
        "rows": rows_of(chosen, runs, arguments.lines),
        "ratios": ratios(runs),
        "runs": {name: [run._asdict() for run in taken] for name, taken in runs.items()},
    }
    (DATA / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(as_markdown(result))
    for leftover in DATA.glob("out-*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


if __name__ == "__main__":
    main()
