"""What a record costs is bounded by its length: time and memory are printed, and both are held to a bound.

`COSTS_OF_HUGE=1` adds a line of 500 MB and a sparse file of 10 GB, which take minutes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import etl
from tests.effort import draws

#: How many times the size of a quick case is tried, and what a byte may cost at most beside a start of the run.
_TIMES = draws(1, 8)
_SECONDS_A_BYTE = 60e-6
_MEMORY_A_BYTE = 400
_START_SECONDS, _START_MEMORY = 5.0, 128 * 2**20

LINE = '192.0.2.1 - - [01/May/2024:12:00:00 +0000] "GET /a/collect/b?click_id=x{} HTTP/1.1" 200 2 "-" "-"\n'

#: Hard inputs by how many parts they have; behind one usual record, so that their format is known.
CASES: dict[str, tuple[int, Callable[[int], str]]] = {
    "parameters.log": (10_000, lambda n: LINE.format("&" + "&".join(f"p{i}=1" for i in range(n)))),
    "items.log": (4_000, lambda n: LINE.format("&" + "&".join(f"items[{i}][id]=1" for i in range(n)))),
    "items.jsonl": (10_000, lambda n: json.dumps({"click_id": "a", "items": [{"id": i} for i in range(n)]}) + "\n"),
    "long names.log": (100_000, lambda n: "".join(LINE.format(f"&{c * n}=1") for c in "abc")),
    "long names within.jsonl": (
        100_000,
        lambda n: json.dumps({"a": {"n" * n: [{"email": "a@example.com"}] * 99}}) + "\n",
    ),
    "deep.jsonl": (
        400,
        lambda n: ('{"click_id":"a","a":' + '{"abcdefgh":' * 400 + "1" + "}" * 401 + "\n") * (n // 400),
    ),
    "too deep.jsonl": (100_000, lambda n: '{"click_id":"a","a":' + "[" * n + "]" * n + "}\n"),
    "members.jsonl": (8_000, lambda n: json.dumps({"click_id": "a", **{f"k{i}": i for i in range(n)}}) + "\n"),
    "escapes.log": (100_000, lambda n: LINE.format("\\x22" * n)),
    "empty lines.log": (200_000, lambda n: "\n" * n),
    "elements.json": (5_000, lambda n: '[{"click_id":"a"},' + "1," * n + "1]"),
    "a quoted cell.csv": (100_000, lambda n: 'click_id,event_value\na,1\n"' + 'a""' * n + '",1\n'),
    "NUL bytes.log": (1_000_000, lambda n: "\0" * n + "\n"),
    "a line over the limit.log": (6_000_000, lambda n: LINE.format("y" * n)),
}


def cost(path: Path) -> tuple[float, int, dict[str, int]]:
    """Processor seconds of a run, how far its memory rose above what the process held before, and its counts."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    before, began = memory("VmRSS"), time.process_time()
    summary = etl.run([path], path.parent / "out" / "tables", account="a", integration="b")
    counts = {name: summary[name] for name in ("records", "conversions", "items")}
    return time.process_time() - began, max(0, memory("VmHWM") - before), counts


def memory(name: str) -> int:
    """A number of bytes from the status of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith(f"{name}:"))


def assert_bounded(name: str, path: Path) -> None:
    size = path.stat().st_size
    seconds, peak, counts = cost(path)
    print(f"{name}: {size:,} bytes, {seconds:.2f} s, {peak / 2**20:.0f} MiB, {counts}")
    assert seconds < _START_SECONDS + _SECONDS_A_BYTE * size
    assert peak < _START_MEMORY + _MEMORY_A_BYTE * size


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from Linux")
@pytest.mark.parametrize("name", CASES)
def test_a_record_costs_what_its_length_warrants(name: str, tmp_path: Path) -> None:
    count, written = CASES[name]
    usual = {".log": LINE.format("0") * 9, ".jsonl": '{"click_id": "a"}\n' * 9}.get(Path(name).suffix, "")
    (tmp_path / name).write_text(usual + written(count * _TIMES), encoding="utf-8")
    assert_bounded(name, tmp_path / name)


@pytest.mark.skipif("COSTS_OF_HUGE" not in os.environ, reason="takes minutes")
@pytest.mark.parametrize("size", [500 * 10**6, 10 * 10**9])
def test_a_huge_line_takes_time_and_no_memory(size: int, tmp_path: Path) -> None:
    usual = LINE.format("0").encode() * 9
    with (tmp_path / "huge.log").open("wb") as file:
        file.write(usual)
        if size < 10**9:
            file.write(LINE.encode()[:60])
            for _ in range(size // 10**6):
                file.write(b"x" * 10**6)
        else:  # a hole, which the file system keeps no bytes of
            file.seek(size)
        file.write(b"\n" + usual)
    seconds, peak, counts = cost(tmp_path / "huge.log")
    print(f"{size:,} bytes: {seconds:.2f} s, {peak / 2**20:.0f} MiB, {counts}")
    assert counts == {"records": 19, "conversions": 18, "items": 0}
    assert peak < 400 * 2**20
