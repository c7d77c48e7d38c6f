"""`inspect`: what it says of inputs is what they hold, it says so of what it has read, and it writes nothing."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from tests.commands import on_terminal, run
from tests.effort import thorough
from tests.records import HOSTILE, LINE

ROOT = Path(__file__).parents[1]
SAMPLES = [ROOT / "sample_data" / name for name in ("access.log.gz", "webhooks.jsonl")]
BEGIN = datetime(2024, 5, 1, tzinfo=UTC)


def tell(*arguments: object) -> str:
    return run("inspect", *arguments).stdout.decode()


def data_of(*arguments: object) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(tell(*arguments, "--json"))
    return told


def log_of(moments: list[datetime], query: str = "click_id=a") -> str:
    return "".join(LINE.replace("01/May/2024:12:00:00", f"{at:%d/%b/%Y:%H:%M:%S}").format(query) for at in moments)


def test_what_is_said_is_what_a_run_finds(tmp_path: Path) -> None:
    summary = etl.run(SAMPLES, tmp_path / "out")
    found = {one["path"]: one for one in data_of(*SAMPLES)}
    tables = [pl.read_parquet(tmp_path / "out" / name) for name in ("conversions", "rejections")]
    rows = pl.concat([table.select("source", "received_at", "http_method") for table in tables])
    for known in summary["inputs"]:
        one = found[known["path"]]
        mine = rows.filter(pl.col("source") == known["path"])
        assert (one["format"], one["compression"], one["bytes"]) == (
            known["format"],
            known["compression"],
            known["bytes"],
        )
        assert (one["records"], one["records_read"], one["is_sample"]) == (known["records"], known["records"], False)
        assert one["bodies_not_logged"] == known["bodies_not_logged"]
        assert one["postbacks"] == mine.height - one["malformed_records"]
        assert one["methods"] == dict(Counter(mine["http_method"].drop_nulls()).most_common())
        assert sum(owner["postbacks"] for owner in one["integrations"]) == one["postbacks"]
        first = mine["received_at"].min()
        assert isinstance(first, datetime)
        assert one["time"]["first"].rstrip("Z") <= first.isoformat().removesuffix("+00:00")
    skipped = sum((Counter(one["skipped"]) for one in found.values()), Counter[str]())
    assert skipped == summary["skipped"]["by_reason"]


@pytest.mark.parametrize("pack", [bytes, pytest.param(gzip.compress, marks=thorough)], ids=["plain", "gzip"])
def test_a_sample_says_what_it_is_and_all_of_it_can_be_read(pack: Any, tmp_path: Path) -> None:
    text = log_of([BEGIN + timedelta(seconds=20 * i) for i in range(60_000)], f"click_id=a&pad={'x' * 40}")
    (tmp_path / "a.log").write_bytes(pack(text.encode()))
    (sample,) = data_of(tmp_path / "a.log")
    (whole,) = data_of(tmp_path / "a.log", "--full")
    assert sample["is_sample"]
    assert not whole["is_sample"]
    assert whole["records"] == whole["records_read"] == 60_000
    assert sample["records_read"] < 40_000
    likeness = 0.01 if pack is bytes else 0.15
    assert sample["records"] == pytest.approx(60_000, rel=likeness)
    assert sample["decompressed_bytes"] == pytest.approx(len(text), rel=likeness)
    assert whole["time"]["last"] == "2024-05-14T21:19:40Z"
    is_seen = sample["time"]["last"] == whole["time"]["last"]
    assert is_seen is (pack is bytes)
    assert "in the records read" in tell(tmp_path / "a.log")
    assert "60,000; all read" in tell(tmp_path / "a.log", "--full")


def test_a_silence_unlike_the_rest_is_a_gap(tmp_path: Path) -> None:
    moments = [BEGIN + timedelta(minutes=i) for i in range(2000) if not 600 <= i < 700]
    (tmp_path / "a.log").write_text(log_of(moments), encoding="utf-8")
    (found,) = data_of(tmp_path / "a.log")
    assert found["gaps"] == [{"start": "2024-05-01T09:59:00Z", "end": "2024-05-01T11:40:00Z"}]
    assert "2024-05-01 09:59 to 2024-05-01 11:40 (1.7 h)" in tell(tmp_path / "a.log")
    (tmp_path / "b.log").write_text(log_of([BEGIN + timedelta(hours=5 * i) for i in range(50)]), encoding="utf-8")
    assert data_of(tmp_path / "b.log")[0]["gaps"] == []


def test_bodies_that_are_not_logged_are_warned_of(tmp_path: Path) -> None:
    line = LINE.format("").replace("GET", "POST").replace("?", "")
    (tmp_path / "a.log").write_text(line * 3 + LINE.format("click_id=a"), encoding="utf-8")
    assert "3 POST requests, 75.0% of the postbacks, were logged without a body" in tell(tmp_path / "a.log")


def test_an_empty_input_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    (found,) = data_of(tmp_path / "a.log")
    assert (found["records"], found["postbacks"], found["matched"]) == (0, 0, None)
    assert "no records to check" in tell(tmp_path / "a.log")


def test_tables_documents_and_parquet(tmp_path: Path) -> None:
    payloads = [{"click_id": f"k{i}", "value": i, "pad": "x" * 900} for i in range(9000)]
    (tmp_path / "a.json").write_text(json.dumps(payloads), encoding="utf-8")
    pl.DataFrame({"payload": [json.dumps(one) for one in payloads]}).write_parquet(tmp_path / "b.parquet")
    texts = [json.dumps(one) for one in payloads]
    pl.DataFrame({"created": ["2024-05-01 12:00:00"] * 9000, "payload": texts}).write_csv(tmp_path / "c.csv")
    array, parquet, table = data_of(tmp_path)
    assert [one["format"] for one in (array, parquet, table)] == ["json", "parquet", "csv"]
    assert parquet["records"] == 9000
    assert array["records"] == pytest.approx(9000, rel=0.02)
    assert table["records"] == pytest.approx(9000, rel=0.02)
    assert array["time"] == {"zone": "none", "first": None, "last": None}
    assert table["columns"] == {"payload": "payload", "received_at": "created"}


def test_one_input_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(b"some text jane@example.com\n" * 3)[:-9])
    (tmp_path / "b.log").write_text(LINE.format("click_id=a"), encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    finished = run("inspect", tmp_path, code=1)
    assert len(finished.stderr.decode().splitlines()) == 2
    assert b"cannot be read" in finished.stdout
    assert b"combined, 100.0%" in finished.stdout
    assert b"jane@" not in finished.stdout + finished.stderr
    first, second = json.loads(run("inspect", tmp_path, "--json", code=1).stdout)
    assert (list(first), second["format"]) == (["path", "problem", "hint"], "combined")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.log"], 1, "does not exist"),
        (["{log}", "--format", "nginx"], 2, "auto, combined, common"),
        (["{log}", "--log-timezone", "Mars"], 2, "Europe/Berlin"),
        (["-", "-"], 2, "named twice"),
    ],
)
def test_wrong_usage_is_two_lines(arguments: list[str], code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LINE.format("click_id=a"), encoding="utf-8")
    finished = run("inspect", *(argument.format(log=tmp_path / "a.log") for argument in arguments), code=code)
    assert len(finished.stderr.decode().splitlines()) == 2
    assert words in finished.stderr.decode()


def test_a_missing_input_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LINE.format("click_id=a"), encoding="utf-8")
    finished = run("inspect", tmp_path / "no.log", tmp_path / "a.log", "--json", code=1)
    missing, read = json.loads(finished.stdout)
    assert (missing["problem"], read["format"]) == (f"{tmp_path / 'no.log'} does not exist.", "combined")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    folder = tmp_path / "[red]\x1b[31m\u202e"
    folder.mkdir()
    path = f"/{HOSTILE.replace('/', '').replace('?', '')}/collect/[bold]"
    records = [{"method": "GET", "path": path, "query": "click_id=a"}] * 2
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    for flags in ([], ["--json"]):
        for seen in (tell(folder, *flags), on_terminal("inspect", str(folder), *flags)):
            assert [text for text in ("\x1b[31m", "\x1b]", "\x07", "\x9b", "\u202e") if text in seen] == []
            assert "[bold]" in seen


def test_a_hostile_name_in_an_error_stays_text(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m\nb").write_text("some text\n", encoding="utf-8")
    finished = run("inspect", tmp_path, code=2)
    assert b"\x1b" not in finished.stdout + finished.stderr
    assert len(finished.stderr.decode().splitlines()) == 2


def test_a_terminal_sees_what_fits() -> None:
    seen = on_terminal("inspect", *map(str, SAMPLES))
    assert "\x1b[1m" in seen
    assert os.linesep in seen
