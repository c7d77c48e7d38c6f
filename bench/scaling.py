"""Measures how the job grows: with processes, with lines, and with what lines hold.

    python bench/scaling.py [--lines N] [--times N] [--rounds N]

The log is bench.py's. A wide one has 60 parameters a postback and a narrow one three; of a sparse one each hundredth
line is a postback. Many files hold ten lines each. Every round runs all rows in turn. The table shows medians; `÷ two
processes` is the median of the rounds' ratios to the log in two processes, in seconds a line. A row is bound by its
processors as far as these were busy. What is missing is the time in which fewer worked: at the start, the survey, the
end, or waiting for a disk.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from contenders import DATA, generate, input_path, ours
from small_files import LINES_PER_FILE, folder_of

from bench import Run, median, run_rounds

PROCESSES: Final = 2
WIDE, NARROW, SPARSE = 60, 3, 100
BASE: Final = "log"

_QUERY: Final = re.compile(rb"(?<=\?)[^ ]+(?= HTTP/)")
_OTHER: Final = b'203.0.113.7 - - [14/May/2024:00:00:00 +0000] "GET /assets/app.js HTTP/1.1" 200 512 "-" "Mozilla"\n'


class Case(NamedTuple):
    """A row of the table: an input, its lines, and how many processes read it."""

    name: str
    source: Path
    lines: int
    processes: int = PROCESSES

    @property
    def command(self) -> list[str]:
        """The command to measure."""
        return [*ours(self.source, DATA / "out-scaling"), "--jobs", str(self.processes)]


def widened(number: int, line: bytes) -> bytes:
    """A line whose query has further parameters that no rule reads, each with a value of its own."""

    def wide(query: re.Match[bytes]) -> bytes:
        more = range(query[0].count(b"&") + 1, WIDE)
        return query[0] + b"".join(b"&sub%d=%x" % (i, (number * WIDE + i) * 2_654_435_761 % 2**32) for i in more)

    return _QUERY.sub(wide, line, count=1)


def narrowed(_number: int, line: bytes) -> bytes:
    """A line whose query has its first three parameters."""
    return _QUERY.sub(lambda query: b"&".join(query[0].split(b"&")[:NARROW]), line, count=1)


def thinned(number: int, line: bytes) -> bytes:
    """One line in a hundred, and other traffic in place of the others."""
    return _OTHER if number % SPARSE else line


def changed(log: Path, name: str, change: Callable[[int, bytes], bytes]) -> Path:
    """A log whose lines are changed, made if it is not there."""
    path = log.with_name(f"{log.stem}.{name}.log")
    if not path.exists():
        unfinished = path.with_name(f"{path.name}.part")
        with log.open("rb") as lines, unfinished.open("wb") as file:
            file.writelines(change(number, line) for number, line in enumerate(lines))
        unfinished.rename(path)
    return path


def cases(lines: int, times: int) -> list[Case]:
    """The rows, with their inputs made."""
    log, larger = (generate(input_path(count, "log")) for count in (lines, lines * times))
    files = lines // 20 // LINES_PER_FILE
    return [
        Case(BASE, log, lines),
        Case("log, one process", log, lines, processes=1),
        Case(f"log, {times} times the lines", larger, lines * times),
        Case(f"wide log, {WIDE} parameters", changed(log, "wide", widened), lines),
        Case(f"narrow log, {NARROW} parameters", changed(log, "narrow", narrowed), lines),
        Case("sparse log, 1 % postbacks", changed(log, "sparse", thinned), lines),
        Case(f"{files:,} files of {LINES_PER_FILE} lines", folder_of(files), files * LINES_PER_FILE),
    ]


def row(case: Case, runs: list[Run], base: list[Run], base_lines: int) -> str:
    """A row of the table."""
    seconds, cpu = median(runs, "seconds"), median(runs, "cpu_seconds")
    pairs = zip(runs, base, strict=True)
    against = statistics.median(run.seconds * base_lines / (other.seconds * case.lines) for run, other in pairs)
    peak = max(run.peak_bytes for run in runs) / 2**20
    busy = cpu / (seconds * case.processes)
    missing = max(0.0, seconds - cpu / case.processes)  # polars may use more threads than there are processes
    return (
        f"| {case.name} | {seconds:.1f} | {against:.2f} | {case.lines / seconds:,.0f} | {cpu:.1f} | {peak:,.0f} "
        f"| {busy:.0%}, {missing:.1f} s missing |"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=10, help="how often as many lines the larger log has")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = cases(options.lines, options.times)
    runs = run_rounds({case.name: case.command for case in rows}, options.rounds)
    print("| input | seconds | ÷ log, a line | lines/s | CPU seconds | peak MiB | processors busy |")
    print("|---|---|---|---|---|---|---|")
    for case in rows:
        print(row(case, runs[case.name], runs[BASE], options.lines))


if __name__ == "__main__":
    main()
