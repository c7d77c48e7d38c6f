"""Warehouses: lines to load, their tables as rows, a writer that holds one, a disk that is full."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

import etl
from etl.warehouse.snapshots import open_for_reading, scan_pinned

LINE = (
    "192.0.2.7 - - [{0:02}/May/2024:12:00:00 +0000] "
    '"GET /acme/collect/shop?click_id={1}&transaction_id={2}{3} HTTP/1.1" 200 2 "-" "-"\n'
)
EXTRAS = "&items[0][id]=1&xat_plan=gold&email=jo@example.com"

_HOLD = """
import sys
from etl.warehouse.snapshots import open_for_writing
with open_for_writing(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""

_FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from etl.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
main()
"""


def lines(*rows: tuple[int, str, str]) -> bytes:
    """A line of a log for each day, click id and transaction id."""
    return "".join(LINE.format(*row, EXTRAS) for row in rows).encode()


def tables(warehouse: Path | str) -> dict[str, list[dict[str, Any]]]:
    """The rows of the four tables."""
    opened = open_for_reading(str(warehouse))
    return {table.name: in_order(scan_pinned(opened, table.name).collect()) for table in etl.schema.TABLES}


def in_order(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table in an order that does not depend on the files they are in."""
    key = pl.all() if "position" in rows.columns else pl.col("source_digest", "record_no")
    return rows.sort(key).to_dicts()


@contextmanager
def held(warehouse: Path) -> Iterator[int]:
    """Another process writes to the warehouse; its id."""
    words = [sys.executable, "-c", _HOLD, str(warehouse)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        try:
            yield holder.pid
        finally:
            holder.communicate(b"")


def assert_full_disk_is_told(size: int, *arguments: object) -> None:
    """A command whose files may be no longer than `size` ends with 1 and two lines.

    A limit on the size of files stands for the disk: writing fails in the middle.
    """
    script = [sys.executable, "-c", _FULL, str(size), *map(str, arguments)]
    finished = subprocess.run(script, capture_output=True, check=False)
    assert finished.returncode == 1, finished.stderr
    assert len(finished.stderr.decode().splitlines()) == 2, finished.stderr.decode()
