"""The generated inputs, and the commands that are run over them: ours, the peers, the floor, the start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
DATA: Final = HERE / "data"

#: Name -> the script that does the job over INPUT into OUT.
PEERS: Final = {"chdb": "chdb_job.py", "duckdb": "duckdb_job.py", "python": "plain_python.py"}


def log_of(lines: int, suffix: str = "") -> Path:
    """A combined log of so many lines; made once."""
    return _generated(lines, "log", suffix)


def dump_of(lines: int, suffix: str = "") -> Path:
    """A dump of so many envelopes; made once."""
    return _generated(lines, "jsonl", suffix)


def _generated(lines: int, form: str, suffix: str) -> Path:
    path = DATA / f"{lines}.{form}{suffix}"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        unfinished = path.with_name(f"{path.name}.part")
        command = [sys.executable, HERE / "generate.py", "--lines", str(lines), "--format", form, "--out", unfinished]
        subprocess.run([*command, *(["--gzip"] if suffix else [])], check=True)
        unfinished.rename(path)
    return path


def ours(source: Path, out: Path) -> list[str]:
    """Our job with everything on."""
    return [sys.executable, "-m", "etl", "run", "--quiet", "--out", str(out), str(source)]


def peer(name: str, source: Path, out: Path) -> list[str]:
    """A peer's job."""
    return [sys.executable, str(HERE / "peers" / PEERS[name]), str(source), str(out)]
