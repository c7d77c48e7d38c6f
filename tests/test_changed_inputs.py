"""Inputs that change while they are read: no record is lost without an error, and what only grew is read."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl.engines.local_pool import workers
from etl.errors import ChangedInputError, InputError
from etl.options import RunOptions
from etl.runner.run import run_job
from etl.runner.stage_inputs import SILENT, Progress, run_request
from etl.sources import splits
from etl.sources.records.lines import Batch
from etl.sources.storage import checksums
from etl.sources.storage.inputs import found_inputs
from etl.warehouse.load import load
from tests.commands import run
from tests.effort import thorough
from tests.records import log


def payloads(first: int, end: int) -> list[dict[str, str]]:
    return [{"click_id": f"c{i:06}", "conversion_type": "1"} for i in range(first, end)]


def parquet(first: int, end: int) -> bytes:
    out = io.BytesIO()
    pl.DataFrame({"payload": [json.dumps(row) for row in payloads(first, end)]}).write_parquet(out)
    return out.getvalue()


def tar(first: int, end: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("a.log")
        member.size = len(log(first, end))
        archive.addfile(member, io.BytesIO(log(first, end)))
    return out.getvalue()


def zipped(first: int, end: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.log", log(first, end))
    return out.getvalue()


#: What records from the first to the last look like in each kind of input.
KINDS: dict[str, Callable[[int, int], bytes]] = {
    "lines": log,
    "one array": lambda first, end: json.dumps(payloads(first, end), indent=1).encode(),
    "a table": lambda first, end: ("click_id,value\n" + "".join(f"c{i:06},1\n" for i in range(first, end))).encode(),
    "parquet": parquet,
    "gzip": lambda first, end: gzip.compress(log(first, end), 1),
    "utf-16": lambda first, end: b"\xff\xfe" + log(first, end).decode().encode("utf-16-le"),
    "tar": tar,
    "zip": zipped,
}


W3C = b"""#Software: IIS
#Fields: date time cs-method cs-uri-stem cs-uri-query sc-status c-ip
2024-05-01 12:00:00 GET /acme/collect/shop click_id=c1 200 192.0.2.7
2024-05-01 12:00:01 GET /acme/collect/shop click_id=c2 200 192.0.2.7
"""


def rewrite(path: Path, data: bytes) -> None:
    """Writes other bytes into the file that there is."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


def replace(path: Path, data: bytes) -> None:
    """Puts another file in the place of a file."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.rename(path)


#: Ways to change an input of 400 records.
CHANGES: dict[str, Callable[[Path, Callable[[int, int], bytes]], None]] = {
    "truncated to nothing": lambda path, make: os.truncate(path, 0),
    "truncated within": lambda path, make: os.truncate(path, path.stat().st_size // 2),
    "rewritten with as many records": lambda path, make: rewrite(path, make(500, 900)),
    "replaced by as many records": lambda path, make: replace(path, make(500, 900)),
    "replaced by fewer records": lambda path, make: replace(path, make(0, 200)),
    "removed": lambda path, make: path.unlink(),
}


def at(phase: str, change: Callable[[], None]) -> Progress:
    """Changes something at the moment when a phase of a run begins."""
    begun: list[str] = []

    def begin(name: str, _total: int) -> None:
        if name == phase and name not in begun:
            begun.append(name)
            change()

    return SILENT._replace(begin=begin)


def run_changed(path: Path, change: Callable[[], None], phase: str = "reading") -> dict[str, Any]:
    """Runs over an input that changes when a phase begins."""
    request = run_request([str(path)], path.parent / "out", RunOptions(integration="shop", account="a"), workers)
    return run_job(request, at(phase, change))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_after_the_survey_ends_the_run_and_nothing_is_published(
    kind: str, change: str, tmp_path: Path
) -> None:
    path = tmp_path / "input"
    path.write_bytes(KINDS[kind](0, 400))
    with pytest.raises(ChangedInputError, match=r"input.* changed while it was read\.\nRun again") as refused:
        run_changed(path, lambda: CHANGES[change](path, KINDS[kind]))
    assert (refused.value.exit_code, len(str(refused.value).splitlines())) == (1, 2)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["lines", "a table", "gzip"])
@pytest.mark.parametrize("phase", ["reading", "writing"])
def test_an_input_that_only_grew_is_read_as_far_as_it_was_surveyed(kind: str, phase: str, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(KINDS[kind](0, 400))

    def grow() -> None:
        with path.open("ab") as file:
            file.write(KINDS[kind](400, 800))

    summary = run_changed(path, grow, phase)
    assert summary["conversions"] == 400


def test_the_cut_last_line_of_a_growing_log_is_read_as_it_was_surveyed(tmp_path: Path) -> None:
    path = tmp_path / "input"
    whole = log(0, 400)
    path.write_bytes(whole[:-30])
    run_changed(path, lambda: path.write_bytes(whole))
    rows = pl.read_parquet(tmp_path / "out" / "conversions")
    path.write_bytes(whole[:-30])
    run_changed(path, lambda: None)
    assert rows.equals(pl.read_parquet(tmp_path / "out" / "conversions"))


def test_a_change_while_duplicates_are_read_again_ends_the_run(tmp_path: Path) -> None:
    path = tmp_path / "input"
    lines = [log(i, i + 1).replace(b"click_id", b"transaction_id=t%d&click_id" % (i % 200)) for i in range(400)]
    later_first = b"".join(reversed(lines))
    path.write_bytes(later_first)
    summary = run_changed(path, lambda: None)
    assert summary["rejections"]["by_reason"] == {"duplicate_transaction": 200}
    with pytest.raises(ChangedInputError):
        run_changed(path, lambda: rewrite(path, later_first.replace(b"192.0.2.7", b"192.0.2.9")), "writing")


def test_one_changed_byte_is_found_in_any_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.runner.stage_inputs.SPLIT_BYTES", 10_000)
    monkeypatch.setattr(checksums, "CHECKED_BYTES", 1 << 12)
    path = tmp_path / "input"
    whole = log(0, 400)
    for place in (0, 5_000, 10_000, 20_050, len(whole) - 2):
        path.write_bytes(whole)
        other = bytes([*whole[:place], whole[place] ^ 1, *whole[place + 1 :]])
        with pytest.raises(ChangedInputError):
            run_changed(path, lambda other=other: rewrite(path, other))  # type: ignore[misc]
    path.write_bytes(whole)
    assert run_changed(path, lambda: os.utime(path))["conversions"] == 400


def test_a_load_that_met_a_change_loads_the_whole_input_the_next_time(tmp_path: Path) -> None:
    path, into = tmp_path / "input", str(tmp_path / "warehouse")
    path.write_bytes(log(0, 400))
    request = run_request([str(path)], Path(), RunOptions(), workers)
    with pytest.raises(ChangedInputError):
        load(request, into, progress=at("reading", lambda: os.truncate(path, 3_000)))
    path.write_bytes(log(0, 400))
    assert load(request, into)["conversions"] == 400


@pytest.mark.parametrize("phase", ["found", "surveying"])
def test_an_input_that_vanishes_before_it_is_read_is_an_error_of_two_lines(phase: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("a.log", "b.log"):
        (tmp_path / "logs" / name).write_bytes(log(0, 5))
    request = run_request([], tmp_path / "out", RunOptions(), workers)
    with found_inputs([str(tmp_path / "logs")], tmp_path / "out") as found:
        (tmp_path / "logs" / "b.log").unlink() if phase == "found" else None
        with pytest.raises(InputError, match=r"b\.log cannot be read: No such file"):
            run_job(request, at("surveying", (tmp_path / "logs" / "b.log").unlink), found)


@thorough
def test_worker_processes_find_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.runner.stage_inputs.SPLIT_BYTES", 1 << 20)
    monkeypatch.setattr("etl.runner.stage_inputs.POOL_BYTES", 0)
    path = tmp_path / "input"
    path.write_bytes(log(0, 60_000))
    request = run_request([str(path)], tmp_path / "out", RunOptions(jobs=2), workers)
    with pytest.raises(ChangedInputError):
        run_job(request, at("reading", lambda: os.truncate(path, 3_000)))


# --- the accounting of each input -------------------------------------------------------------------------------


def dropped(batches: Iterator[Batch]) -> Iterator[Batch]:
    """A fault: of each batch, the last record is lost."""
    for batch in batches:
        yield batch.part(0, len(batch.starts) - 1)


@pytest.mark.parametrize("kind", ["lines", "parquet", "gzip", "w3c"])
@pytest.mark.parametrize("command", ["run", "load"])
def test_a_reader_that_loses_a_record_ends_the_command_with_exit_4(
    kind: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "input"
    path.write_bytes(KINDS[kind](0, 40) if kind in KINDS else W3C)
    cut = splits.parquet_tables.read_rows if kind == "parquet" else splits.read_batches
    place = "etl.sources.splits.parquet_tables.read_rows" if kind == "parquet" else "etl.sources.splits.read_batches"
    monkeypatch.setattr(place, lambda *parts: dropped(cut(*parts)))
    where = ("--into", tmp_path / "wh") if command == "load" else ("--out", tmp_path / "out")
    refused = run(command, path, *where, "--account", "a", "--integration", "shop", "--quiet", code=4)
    assert b"records by its survey, but" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_a_reader_that_stops_before_the_end_ends_the_run_with_exit_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl.sources.records.lines.BATCH_BYTES", 5_000)
    monkeypatch.setattr("etl.sources.records.json_documents.BATCH_BYTES", 5_000)
    cut = splits.read_batches
    monkeypatch.setattr(splits, "read_batches", lambda *parts: islice(cut(*parts), 1))
    path = tmp_path / "input"
    path.write_bytes(KINDS["one array"](0, 400))
    refused = run("run", path, "--out", tmp_path / "out", "--account", "a", "--integration", "b", "--quiet", code=4)
    assert b"was read up to byte" in refused.stderr


def test_the_summary_and_the_report_say_how_many_records_the_survey_counted(tmp_path: Path) -> None:
    for kind, make in KINDS.items():
        (tmp_path / kind).write_bytes(make(0, 40))
        request = run_request([str(tmp_path / kind)], tmp_path / "out", RunOptions(integration="i"), workers)
        for counted in (run_job(request), load(request, str(tmp_path / "wh"))):
            [described] = counted["inputs"]
            several = kind in ("one array", "a table")
            assert described["records_surveyed"] in ((None,) if several else (described["records"], 0)), kind


# --- object stores ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.log", "a.log.gz", "a.zip"])
def test_an_object_that_is_replaced_ends_the_run(name: str, make_bucket: Callable[[str], str], tmp_path: Path) -> None:
    import obstore
    from obstore.store import from_url

    address = make_bucket(f"changed-{name.replace('.', '-')}")
    make = KINDS[{"a.log": "lines", "a.log.gz": "gzip", "a.zip": "zip"}[name]]
    store = from_url(address)
    obstore.put(store, name, make(0, 400))
    request = run_request([f"{address}/{name}"], tmp_path / "out", RunOptions(), workers)
    assert run_job(request)["conversions"] == 400
    with pytest.raises(ChangedInputError):
        run_job(request, at("reading", lambda: obstore.put(store, name, make(500, 900))))
