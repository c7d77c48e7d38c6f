"""The generated inputs, and the commands that are run over them: ours, the peers, the floor, the start."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent
DATA: Final = HERE / "data"

#: Name -> the script that does the job over INPUT into OUT, and the package it needs.
PEERS: Final = {
    "chdb": ("chdb_job.py", "chdb"),
    "duckdb": ("duckdb_job.py", "duckdb"),
    "python": ("plain_python.py", "pyarrow"),
}

#: A peer does the same work as ours with the hashes of personal traits. `ours-drop` leaves these out instead.
HASHES: Final = "+hashes"

#: Input -> who runs over it, in this order. The floor writes the tables that ours has just written.
_ALL: Final = ("ours", "ours-drop", *(f"{name}{more}" for name in PEERS for more in ("", HASHES)))
RUNS: Final = {
    "log": (*_ALL[:2], "floor", *_ALL[2:]),
    "log.gz": _ALL[:4],
    "jsonl": _ALL,
    "jsonl.gz": _ALL[:4],
}

#: Reads the lines, and writes the tables of an earlier run from memory: what no engine of ours could leave out.
FLOOR: Final = """
import sys, polars as pl
log, tables, out = sys.argv[1:]
pl.scan_lines(log).select(pl.len()).collect()
for table in ("conversions", "items", "passthroughs", "rejections"):
    rows = pl.read_parquet(f"{tables}/{table}/*.parquet")
    rows.write_parquet(f"{out}.{table}.parquet", compression="zstd", compression_level=1)
"""


class Contender(NamedTuple):
    """One command to measure: `INPUT:WHO` is its name; no source for the start alone."""

    name: str
    command: list[str]
    source: Path | None = None


def contenders(lines: int) -> list[Contender]:
    """All whose package is installed, in the order in which they run."""
    found = [Contender("start:ours", [sys.executable, "-m", "etl", "--help"])]
    for form, names in RUNS.items():
        for name in names:
            out = DATA / f"out-{lines}-{form}-{name}"
            package = PEERS.get(name.removesuffix(HASHES), ("", ""))[1]
            if package and not find_spec(package):
                print(f"left out: {name} is not installed", file=sys.stderr)
                continue
            source = input_path(lines, form)
            found.append(Contender(f"{form}:{name}", command_of(name, source, out), source))
    return found


def command_of(name: str, source: Path, out: Path) -> list[str]:
    """The command of ours, the floor, or a peer."""
    if name == "ours":
        return ours(source, out)
    if name == "ours-drop":
        return [*ours(source, out), "--pii", "drop"]
    if name == "floor":
        tables = str(out).removesuffix("floor") + "ours"
        return [sys.executable, "-c", FLOOR, str(source), tables, str(out)]
    return peer(name, source, out)


def ours(source: Path, out: Path) -> list[str]:
    """Our job with everything on."""
    return [sys.executable, "-m", "etl", "run", "--quiet", "--out", str(out), str(source)]


def peer(name: str, source: Path, out: Path) -> list[str]:
    """A peer's job, with hashes if its name says so."""
    script, _ = PEERS[name.removesuffix(HASHES)]
    return [
        sys.executable,
        str(HERE / "peers" / script),
        str(source),
        str(out),
        *(["--hashes"] * name.endswith(HASHES)),
    ]


def input_path(lines: int, form: str) -> Path:
    """Where the generated input lies: a log or a dump (`jsonl`) of so many lines, plain or `.gz`."""
    return DATA / f"{lines}.{form}"


def generate(path: Path) -> Path:
    """Makes a generated input, unless it is there."""
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        lines, form, *gzipped = path.name.split(".")
        unfinished = path.with_name(f"{path.name}.part")
        command = [sys.executable, str(HERE / "generate.py"), "--lines", lines, "--format", form]
        subprocess.run([*command, "--out", str(unfinished), *(["--gzip"] if gzipped else [])], check=True)
        unfinished.rename(path)
    return path
