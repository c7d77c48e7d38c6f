"""Measures many small inputs: files of ten lines, in turns a log, a dump and a log as gzip.

    python bench/small_files.py [--files N ...] [--rounds N]

Each row is the median of the rounds of `run` over a folder of so many files, and the same lines in one log. Memory is
the peak of the sum of PSS over the process tree.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
from pathlib import Path
from typing import Final

from contenders import DATA, generate, input_path, ours

from bench import Run, measure

LINES_PER_FILE: Final = 10


def folder_of(count: int) -> Path:
    """A folder of so many small files, made if it is not there."""
    folder = DATA / f"small-{count}"
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    kinds = [
        (form, generate(input_path(count * LINES_PER_FILE, form)).read_bytes().splitlines(keepends=True))
        for form in ("log", "jsonl")
    ]
    kinds.append(("log.gz", kinds[0][1]))
    for number in range(count):
        form, lines = kinds[number % len(kinds)]
        data = b"".join(lines[number * LINES_PER_FILE : (number + 1) * LINES_PER_FILE])
        (folder / f"{number:05d}.{form}").write_bytes(gzip.compress(data, mtime=0) if form == "log.gz" else data)
    return folder


def row(name: str, runs: list[Run]) -> str:
    """A row of the table."""
    seconds, cpu = (statistics.median(getattr(run, field) for run in runs) for field in ("seconds", "cpu_seconds"))
    return f"| {name} | {seconds:.1f} | {cpu:.1f} | {max(run.peak_bytes for run in runs) / 2**20:,.0f} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[200, 1_000, 5_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sources = {f"{count:,} files": folder_of(count) for count in options.files}
    most = max(options.files) * LINES_PER_FILE
    sources[f"one log of {most:,} lines"] = generate(input_path(most, "log"))
    runs: dict[str, list[Run]] = {name: [] for name in sources}
    for _ in range(options.rounds):
        for name, source in sources.items():
            runs[name].append(measure(ours(source, DATA / "out-small")))
    print("| input | seconds | CPU seconds | peak MiB |", "|---|---|---|---|", sep="\n")
    for name, measured in runs.items():
        print(row(name, measured))


if __name__ == "__main__":
    main()
