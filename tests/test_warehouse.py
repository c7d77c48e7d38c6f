"""A warehouse as an operator meets it: what is loaded and what is passed over, who reads it, what can go wrong."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

import etl
from etl.errors import EtlError, UsageError
from etl.warehouse.load_history import list_loads
from etl.warehouse.maintenance import forget, vacuum
from etl.warehouse.verify import verify
from tests.commands import assert_refused, run, run_process, start_process
from tests.effort import thorough
from tests.warehouses import assert_full_disk_is_told, held, lines, tables

#: Nobody else on this machine has a warehouse at this address.
STORED = f"s3://warehouses/{os.getpid()}/a"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_bytes(lines((2, "a", "t1"), (2, "b", "t2")))
    return path


@pytest.fixture
def warehouse(log: Path, tmp_path: Path) -> Path:
    etl.load([log], tmp_path / "warehouse")
    return tmp_path / "warehouse"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse like `warehouse`, and one with a second input, which repeats a transaction earlier."""
    folder = tmp_path_factory.mktemp("loaded")
    (folder / "access.log").write_bytes(lines((2, "a", "t1"), (2, "b", "t2")))
    etl.load([folder / "access.log"], folder / "one")
    shutil.copytree(folder / "one", folder / "two")
    (folder / "more.log").write_bytes(lines((1, "x", "t1")))
    etl.load([folder / "more.log"], folder / "two")
    assert run("loads", "verify", "--into", folder / "two").stdout == b"no problems found\n"
    return folder


@pytest.fixture
def copy(loaded: Path, tmp_path: Path) -> Path:
    """A copy of a warehouse, for tests to which its input does not matter."""
    return Path(shutil.copytree(loaded / "one", tmp_path / "warehouse"))


@pytest.fixture(scope="module")
def warehouses(make_bucket: Callable[[str], str]) -> None:
    """A bucket of a real server on this machine."""
    make_bucket("warehouses")


# --- each input once ------------------------------------------------------------------------------------------


def test_a_rotated_packed_or_copied_file_is_one_input(log: Path, warehouse: Path, tmp_path: Path) -> None:
    before = tables(warehouse)
    log.rename(tmp_path / "access.log.1")
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress((tmp_path / "access.log.1").read_bytes()))
    report = etl.load([tmp_path / "access.log*"], warehouse)
    assert {item["action"] for item in report["inputs"]} == {"skip"}
    assert tables(warehouse) == before
    names = etl.scan(str(warehouse), "loads").collect()["names"].to_list()
    assert [[Path(name).name for name in names[0]]] == [["access.log", "access.log.1", "access.log.2.gz"]]


def test_a_night_without_anything_new_writes_nothing(log: Path, warehouse: Path) -> None:
    before = {path: path.read_bytes() for path in warehouse.rglob("*") if path.is_file()}
    assert etl.load([log], warehouse)["run_id"] is None
    assert {path: path.read_bytes() for path in warehouse.rglob("*") if path.is_file()} == before


def test_the_first_of_its_names_is_an_inputs_source_in_whatever_order_they_come(log: Path, tmp_path: Path) -> None:
    (tmp_path / "a copy").write_bytes(log.read_bytes())
    etl.load([log], tmp_path / "w1")
    etl.load([tmp_path / "a copy"], tmp_path / "w1")
    etl.load([tmp_path / "a copy", log], tmp_path / "w2")
    assert tables(tmp_path / "w1") == tables(tmp_path / "w2")
    assert {Path(row["source"]).name for row in tables(tmp_path / "w1")["conversions"]} == {"a copy"}


def test_a_grown_file_takes_the_place_of_its_earlier_state(log: Path, warehouse: Path, tmp_path: Path) -> None:
    early = tmp_path / "early.log"
    early.write_bytes(log.read_bytes())
    log.write_bytes(log.read_bytes() + lines((3, "c", "t3")))
    (item,) = etl.load([log], warehouse)["inputs"]
    assert (item["action"], item["why"]) == ("load", f"it has grown since {log} was loaded")
    etl.load([log], tmp_path / "fresh")
    assert tables(warehouse) == tables(tmp_path / "fresh")
    for place in (warehouse, tmp_path / "fresh"):  # the earlier state late, or again
        (item,) = etl.load([early], place)["inputs"]
        assert (item["action"], item["why"]) == ("skip", f"it is an earlier state of {log}")
        assert tables(place) == tables(warehouse)


def test_an_earlier_state_of_what_is_gone_is_refused_not_doubled(log: Path, tmp_path: Path) -> None:
    early = tmp_path / "early.log"
    early.write_bytes(log.read_bytes())
    log.write_bytes(log.read_bytes() + lines((3, "c", "t3")))
    etl.load([log], tmp_path / "warehouse")
    log.unlink()
    before = tables(tmp_path / "warehouse")
    assert_refused(run("load", early, "--into", tmp_path / "warehouse", "-q", code=1), "earlier state", str(log))
    assert tables(tmp_path / "warehouse") == before


def test_an_earlier_state_that_was_loaded_before_needs_no_look_at_what_it_became(
    log: Path, warehouse: Path, tmp_path: Path
) -> None:
    log.rename(tmp_path / "early.log")
    log.write_bytes((tmp_path / "early.log").read_bytes() + lines((3, "c", "t3")))
    etl.load([log], warehouse)
    log.unlink()
    assert etl.load([tmp_path / "early.log"], warehouse)["inputs"][0]["action"] == "skip"


def test_other_rules_wait_for_reload(log: Path, warehouse: Path) -> None:
    (item,) = etl.load([log], warehouse, default_currency="EUR")["inputs"]
    assert (item["action"], item["why"]) == ("skip", "it was loaded with other rules; --reload reads it again")
    assert etl.load([log], warehouse, default_currency="EUR", reload=True)["conversions"] == 2
    assert {row["currency"] for row in tables(warehouse)["conversions"]} == {"EUR"}
    assert verify(str(warehouse)) == []


def test_a_period_is_one_of_the_rules_of_an_input(log: Path, tmp_path: Path) -> None:
    log.write_bytes(lines((1, "a", "t1"), (2, "b", "t2"), (3, "c", "t3")))
    warehouse = tmp_path / "warehouse"
    day = ("--since", "2024-05-02", "--until", "2024-05-03")
    run("load", log, "--into", warehouse, "-q", *day)
    assert [row["match_key"] for row in tables(warehouse)["conversions"]] == ["b"]
    assert b"it is already loaded as" in run("load", log, "--into", warehouse, "--dry-run", *day).stdout
    assert b"--reload reads it again" in run("load", log, "--into", warehouse, "--dry-run").stdout
    run("load", log, "--into", warehouse, "-q", "--reload", "--since", "2024-05-02")
    assert [row["match_key"] for row in tables(warehouse)["conversions"]] == ["b", "c"]
    assert verify(str(warehouse)) == []


def test_more_rejections_than_are_allowed_are_loaded_and_told(log: Path, tmp_path: Path) -> None:
    log.write_bytes(lines((1, "a", "t1"), (2, "b", "t2&conversion_type=nope"), (3, "a", "t1")))
    for limit, code in (("1", 3), ("66%", 3), ("2", 0), ("66.7%", 0)):
        warehouse = tmp_path / limit.rstrip("%")
        finished = run("load", log, "--into", warehouse, "-q", "--max-rejected", limit, code=code)
        assert (b"warning: 2 records rejected" in finished.stderr) is (code == 3)
        assert len(tables(warehouse)["rejections"]) == 2
    run("load", log, "--into", tmp_path / "1", "-q", "--max-rejected", "1")
    assert_refused(run("load", log, "--into", tmp_path / "1", "--max-rejected", "few", code=2), "2.5%")


def test_a_ruleset_that_finds_other_duplicates_is_refused(log: Path, warehouse: Path) -> None:
    ruleset = etl.parse_ruleset('name = "house"\ndedup_scope = "transaction"\n', "house.toml")
    log.write_bytes(log.read_bytes() + b"\n")
    with pytest.raises(EtlError, match="finds duplicates by"):
        etl.load([log], warehouse, ruleset=ruleset)


def test_dry_run_says_what_and_why_and_writes_nothing(log: Path, warehouse: Path, tmp_path: Path) -> None:
    (tmp_path / "new.log").write_bytes(lines((1, "a", "t1")))
    before = sorted(str(path) for path in warehouse.rglob("*"))
    out = run("load", log, tmp_path / "new.log", "--into", warehouse, "--dry-run", "-q").stdout.decode()
    *inputs, disk = out.splitlines()
    assert sorted(inputs) == [
        f"load    {tmp_path / 'new.log'}: it is new",
        f"skip    {log}: it is already loaded as {log}",
    ]
    assert disk.startswith("needs about ")
    assert sorted(str(path) for path in warehouse.rglob("*")) == before
    run("load", log, "--into", tmp_path / "none", "--dry-run")
    assert not (tmp_path / "none").exists()


# --- duplicates across loads ----------------------------------------------------------------------------------


def test_an_earlier_postback_that_comes_late_wins_with_all_it_has(copy: Path, tmp_path: Path) -> None:
    before = tables(copy)
    late = tmp_path / "late.log"
    late.write_bytes(lines((1, "early", "t1")))
    report = etl.load([late], copy)
    assert (report["conversions"], report["demoted"]) == (1, 1)
    now = tables(copy)
    assert sorted(row["match_key"] for row in now["conversions"]) == ["b", "early"]
    assert [len(now[name]) for name in ("items", "passthroughs")] == [2, 2]
    (lost,) = now["rejections"]
    assert (lost["reason"], lost["duplicate_kind"]) == ("duplicate_transaction", "conflicting")
    assert "jo@example.com" not in lost["raw"]
    assert "click_id=a" in lost["raw"]
    assert forget(str(late), str(copy))["promoted"] == 1
    assert tables(copy) == before


def test_no_raw_personal_value_is_anywhere_in_a_warehouse(copy: Path) -> None:
    for path in copy.rglob("*.parquet"):
        rows = pl.read_parquet(path, hive_partitioning=False)
        assert "jo@example.com" not in str(rows.to_dicts())
        assert "192.0.2.7" not in str(rows.to_dicts())


# --- all or nothing -------------------------------------------------------------------------------------------


def test_readers_of_the_snapshot_do_not_see_what_was_not_committed(copy: Path, tmp_path: Path) -> None:
    before = tables(copy)
    pinned = (copy / "snapshot.json").read_bytes()
    (tmp_path / "more.log").write_bytes(lines((1, "x", "t1")))
    etl.load([tmp_path / "more.log"], copy)
    (copy / "snapshot.json").write_bytes(pinned)  # as if it had been killed before that was written
    assert tables(copy) == before
    assert pl.scan_delta(str(copy / "conversions")).collect().height == 2
    etl.load([tmp_path / "more.log"], copy)
    assert verify(str(copy)) == []
    assert len(tables(copy)["rejections"]) == 1


def test_a_folder_of_others_is_refused_and_untouched(log: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    assert_refused(run("load", log, "--into", tmp_path / "mine", "-q", code=2), "is not a warehouse")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


@pytest.mark.parametrize("how", ["by name", "by a link"])
def test_files_of_the_warehouse_are_no_inputs(how: str, copy: Path, tmp_path: Path) -> None:
    inside = next(copy.rglob("*.parquet"))
    if how == "by a link":
        (tmp_path / "link").symlink_to(inside)
        inside = tmp_path / "link"
    assert_refused(run("load", inside, "--into", copy, "-q", code=2), "lies in the warehouse")


def test_a_second_writer_is_told_who_is_at_work(log: Path, warehouse: Path) -> None:
    with held(warehouse) as writer:
        for arguments in (("load", log, "-q", "--reload"), ("loads", "forget", log)):
            assert_refused(run(*arguments, "--into", warehouse, code=1), f"process {writer}")
        assert run("loads", "list", "--into", warehouse).stdout.count(b"\n") == 1
    run("loads", "forget", log, "--into", warehouse)


@pytest.mark.parametrize("size", [pytest.param(100, marks=thorough), 3_000, pytest.param(12_000, marks=thorough)])
def test_a_full_disk_leaves_the_warehouse_as_it_was(size: int, copy: Path, tmp_path: Path) -> None:
    before = tables(copy)
    (tmp_path / "more.log").write_bytes(lines(*((1, f"x{i}", f"n{i}") for i in range(300))))
    assert_full_disk_is_told(size, "load", tmp_path / "more.log", "--into", copy, "-q")
    assert tables(copy) == before
    etl.load([tmp_path / "more.log"], copy)
    assert verify(str(copy)) == []


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may write anywhere")
def test_a_place_that_may_not_be_written_is_an_error_in_two_lines(log: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_refused(run("load", log, "--into", tmp_path / "file" / "w", "-q", code=1), "cannot be")


def test_an_input_that_vanishes_leaves_the_warehouse_as_it_was(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl.warehouse import load as loading

    before = tables(copy)
    gone = tmp_path / "gone.log"
    gone.write_bytes(lines((1, "x", "t1")))
    plan = loading.plan_inputs

    def vanish(*arguments: Any) -> Any:
        planned = plan(*arguments)
        gone.unlink()
        return planned

    monkeypatch.setattr(loading, "plan_inputs", vanish)
    with pytest.raises(EtlError, match=r"gone\.log changed while it was read"):
        etl.load([gone], copy)
    assert tables(copy) == before


@pytest.mark.usefixtures("warehouses")
def test_a_writer_that_another_machine_overtakes_says_so_and_changes_nothing(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines have no lock in common; the conditional put of the snapshot tells the slower of the faster."""
    from etl.warehouse import load as loading

    (tmp_path / "other.log").write_bytes(lines((1, "x", "t1")))
    apply = loading.apply

    def overtaken(*arguments: Any) -> None:
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        run_process("load", tmp_path / "other.log", "--into", STORED, "-q", env=environment)
        apply(*arguments)

    etl.load([log], STORED)
    log.write_bytes(log.read_bytes() + lines((4, "z", "t4")))
    with monkeypatch.context() as patched:
        patched.setattr(loading, "apply", overtaken)
        with pytest.raises(EtlError, match="changed by another command meanwhile"):
            etl.load([log], STORED)
    assert verify(STORED) == []
    assert {row["match_key"] for row in tables(STORED)["conversions"]} == {"x", "b"}
    etl.load([log], STORED)
    assert {row["match_key"] for row in tables(STORED)["conversions"]} == {"x", "b", "z"}
    assert verify(STORED) == []


@pytest.mark.usefixtures("warehouses")
def test_no_output_shows_a_credential(log: Path) -> None:
    environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": "geheim-123", "AWS_ACCESS_KEY_ID": "kennung-123"}
    texts = b""
    for code, arguments in (
        (1, ("load", log, "--into", "s3://none/a", "--debug")),
        (0, ("load", log, "--into", f"{STORED}-b")),
        (0, ("loads", "show", log, "--into", f"{STORED}-b")),
    ):
        finished = run(*arguments, code=code, env=environment)
        texts += finished.stdout + finished.stderr
    assert b"geheim-123" not in texts
    assert b"kennung-123" not in texts


# --- loads ----------------------------------------------------------------------------------------------------


def test_list_show_and_forget(log: Path, warehouse: Path) -> None:
    (listed,) = json.loads(run("loads", "list", "--into", warehouse, "--json").stdout)
    assert (listed["records"], listed["source"], listed["format"]) == (2, str(log), "combined")
    assert str(log) in run("loads", "list", "--into", warehouse).stdout.decode()
    assert "conversions        2" in run("loads", "show", log, "--into", warehouse).stdout.decode()
    for part in (listed["digest"][:8], log.name, log.name[:-2]):
        assert json.loads(run("loads", "show", part, "--into", warehouse, "--json").stdout) == listed
    assert_refused(run("loads", "show", "other.log", "--into", warehouse, code=2), "names no loaded inputs")
    assert_refused(run("loads", "list", "--into", warehouse / "x", code=2), "is not a warehouse")
    run("loads", "forget", log, "--into", warehouse)
    assert run("loads", "list", "--into", warehouse).stdout == b""
    assert {name: len(rows) for name, rows in tables(warehouse).items()} == dict.fromkeys(tables(warehouse), 0)


def test_a_name_of_several_inputs_asks_for_a_digest(log: Path, warehouse: Path) -> None:
    log.write_bytes(lines((5, "other", "t5")))
    etl.load([log], warehouse)
    assert_refused(run("loads", "forget", log, "--into", warehouse, code=2), "names 2 loaded inputs", "digest")


DAMAGES = (
    ("conversions", "drop", "counts: "),
    ("items", "drop", "details: "),
    ("conversions", "double", "ids: "),
    ("rejections", "drop", "is in withheld, but is not a duplicate"),
    ("state/withheld", "drop", "is a duplicate, but is not in withheld"),
    ("state/keys", "drop", "should not be a duplicate, or not of this record or kind"),
    ("loads", "recount", "accounting: "),
    ("conversions", "rename", "has a different source in conversions than its input"),
    ("rejections", "move", "is in the wrong partition of rejections"),
    ("passthroughs", "delete", "is missing"),
)


@pytest.mark.parametrize(("table", "how", "words"), DAMAGES, ids=str)
def test_verify_names_what_is_wrong(table: str, how: str, words: str, loaded: Path, tmp_path: Path) -> None:
    import deltalake

    warehouse = Path(shutil.copytree(loaded / "two", tmp_path / "warehouse"))
    version = json.loads((warehouse / "snapshot.json").read_bytes())["tables"][Path(table).name]
    for uri in deltalake.DeltaTable(warehouse / table, version=version).file_uris():
        damage(Path(uri), how)
    finished = run("loads", "verify", "--into", warehouse, code=4)
    assert words in finished.stdout.decode()


def damage(path: Path, how: str) -> None:
    rows = pl.read_parquet(path, hive_partitioning=False)
    changes = {
        "drop": rows[1:],
        "double": pl.concat([rows[:1], rows[:1], rows[2:]]),
        "recount": rows.with_columns(pl.lit(0, pl.Int64).alias("records")),
        "rename": rows.with_columns(pl.lit("other").alias("source")),
        "move": rows.with_columns(received_at=pl.lit(None, pl.Datetime("us", "UTC"))),
    }
    if how == "delete":
        path.unlink()
    else:
        changes[how].write_parquet(path)


# --- upkeep ---------------------------------------------------------------------------------------------------


def test_compact_and_vacuum_change_no_row(copy: Path, tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / "more.log").write_bytes(lines((2, f"x{number}", f"t{number}")))
        etl.load([tmp_path / "more.log"], copy)
    (copy / "conversions" / "received_date=2024-05-02" / "left.parquet").write_bytes(b"by a killed command")
    before, files = tables(copy), len(list(copy.rglob("*.parquet")))
    out = run("compact", "--into", copy).stdout.decode()
    assert "conversions: 4 files, now 1" in out
    assert tables(copy) == before
    assert verify(str(copy)) == []
    nothing = run("vacuum", "--into", copy)
    assert (nothing.stdout, nothing.stderr) == (b"", b"0 files removed\n")
    assert "conversions/received_date=2024-05-02/left.parquet" in vacuum(str(copy), 0, is_safe=False)
    assert len(list(copy.rglob("*.parquet"))) < files
    assert tables(copy) == before
    assert verify(str(copy)) == []
    etl.load([tmp_path / "more.log"], copy, reload=True)
    assert tables(copy) == before
    assert_refused(run("compact", "--into", tmp_path / "none", code=2), "is not a warehouse")


# --- backfill -------------------------------------------------------------------------------------------------


@pytest.fixture
def days(tmp_path: Path) -> Path:
    for number in (1, 2, 4):
        folder = tmp_path / f"2024-05-0{number}"
        folder.mkdir()
        (folder / "a.log").write_bytes(lines((number, f"c{number}", "t1")))
    return tmp_path / "{date:%Y-%m-%d}" / "*.log"


def test_backfill_goes_on_after_a_failed_day_and_again_does_what_is_left(days: Path, tmp_path: Path) -> None:
    arguments = ("backfill", days, "--from", "2024-05-01", "--to", "2024-05-04", "--into", tmp_path / "warehouse")
    finished = run(*arguments, code=1)
    assert_refused(finished, "1 of 4 days failed: 2024-05-03", "--missing ok")
    assert "2024-05-03  no input\n" in run(*arguments, "--missing", "ok").stdout.decode()
    texts = [line.split(", 0.")[0].split(" after ")[0] for line in finished.stdout.decode().splitlines()]
    assert [text[:10] for text in texts] == ["2024-05-01", "2024-05-02", "2024-05-03", "2024-05-04"]
    assert "2024-05-01  1 record, 0 rejections, " in finished.stdout.decode()
    assert "2024-05-02  1 record, 1 rejection, " in finished.stdout.decode()
    (tmp_path / "2024-05-03").mkdir()
    (tmp_path / "2024-05-03" / "a.log").write_bytes(lines((3, "c3", "t3")))
    again = run(*arguments).stdout.decode()
    assert [line[12:22] for line in again.splitlines()] == ["loaded bef", "loaded bef", "1 record, ", "loaded bef"]
    assert sorted(row["match_key"] for row in tables(tmp_path / "warehouse")["conversions"]) == ["c1", "c3"]
    assert verify(str(tmp_path / "warehouse")) == []


def test_backfill_takes_a_period_and_tells_of_too_many_rejections(days: Path, tmp_path: Path) -> None:
    arguments = ("backfill", days, "--from", "2024-05-01", "--to", "2024-05-02", "--into", tmp_path / "warehouse")
    assert b"0 records" not in run(*arguments, "--max-rejected", "0", code=3).stdout
    run(*arguments, "--reload", "--since", "2024-05-02", "--max-rejected", "0")
    assert [row["match_key"] for row in tables(tmp_path / "warehouse")["conversions"]] == ["c2"]


STOP = """
import os, sys
from importlib import import_module
from etl.cli import main
from etl.warehouse import load as loading

where, number, days = sys.argv.pop(1).rsplit(".", 1), int(sys.argv.pop(1)), 0
module = import_module(f"etl.warehouse.{where[0]}")
function, carry_out = getattr(module, where[1]), loading._carry_out

def count(*given):
    global days
    days += 1
    return carry_out(*given)

def stop(*given):
    if days == 2:
        os.kill(os.getpid(), number)
    return function(*given)

loading._carry_out = count
setattr(module, where[1], stop)
main()
"""


@pytest.mark.parametrize(
    ("where", "number", "done"),
    [
        ("load.transform_inputs", signal.SIGINT, 1),
        pytest.param("load.transform_inputs", signal.SIGTERM, 1, marks=thorough),
        pytest.param("load.transform_inputs", signal.SIGKILL, 1, marks=thorough),
        pytest.param("file_storage.publish", signal.SIGKILL, 1, marks=thorough),
        pytest.param("delta.commit", signal.SIGKILL, 1, marks=thorough),
        pytest.param("file_storage.replace", signal.SIGKILL, 1, marks=thorough),
        ("file_storage.replace", signal.SIGINT, 2),  # what publishes goes on to its end
    ],
)
def test_a_backfill_that_is_stopped_within_a_day_goes_on_with_that_day(
    where: str, number: int, done: int, days: Path, tmp_path: Path
) -> None:
    warehouse = tmp_path / "warehouse"
    words = ("backfill", days, "--from", "2024-05-01", "--to", "2024-05-02", "--into", warehouse)
    stopped = subprocess.run(
        [sys.executable, "-c", STOP, where, str(int(number)), *map(str, words)], capture_output=True, check=False
    )
    assert [line[:10] for line in stopped.stdout.decode().splitlines()] == ["2024-05-01", "2024-05-02"][:done]
    if number == signal.SIGKILL:
        assert stopped.returncode == -signal.SIGKILL
    elif done == 1:
        assert stopped.returncode == 1
        assert_refused(stopped, "Interrupted on 2024-05-02: 1 of 2 days is done", "the same command")
    else:
        assert (stopped.returncode, stopped.stderr) == (0, b"")
    loaded = [row["source"] for row in list_loads(str(warehouse))]
    assert loaded == [str(tmp_path / f"2024-05-0{day}" / "a.log") for day in (1, 2)][:done]
    assert verify(str(warehouse)) == []
    again = run(*words).stdout.decode().splitlines()
    told = ["loaded bef" if day <= done else "1 record, " for day in (1, 2)]
    assert [line[:22] for line in again] == [f"2024-05-0{day}  {text}" for day, text in enumerate(told, 1)]
    assert_fresh(warehouse, [tmp_path / f"2024-05-0{day}" / "a.log" for day in (1, 2)], tmp_path)


def assert_fresh(warehouse: Path, inputs: list[Path], tmp_path: Path) -> None:
    """The warehouse holds what one run over the inputs writes."""
    etl.run(inputs, tmp_path / "fresh")
    for table in etl.schema.TABLES:
        expected = pl.read_parquet(tmp_path / "fresh" / table.name)
        found = etl.scan(str(warehouse), table.name).drop("received_date").collect()
        key = [name for name in ("conversion_id", "rejection_id", "position") if name in expected.columns]
        assert found.sort(key).equals(expected.sort(key)), table.name
    assert verify(str(warehouse)) == []


def test_two_backfills_at_once_lose_and_double_nothing(days: Path, tmp_path: Path) -> None:
    """A day that meets another writer fails and is told; the same command again does what is left."""
    warehouse = tmp_path / "warehouse"
    words = ["backfill", str(days), "--from", "2024-05-01", "--to", "2024-05-02", "--into", str(warehouse)]
    both = [start_process(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for one in both:
        out, err = (text.decode() for text in one.communicate())
        failed = [line[:10] for line in out.splitlines() if "failed" in line]
        assert out.count("\n") == 2
        assert out.count("is locked by another run") + out.count("was changed by another command") == len(failed)
        assert one.returncode == bool(failed)
        assert f"{len(failed)} of 2 days failed: {', '.join(failed)}." in err if failed else not err
    run(*words)
    assert_fresh(warehouse, [tmp_path / f"2024-05-0{day}" / "a.log" for day in (1, 2)], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["logs/*.gz", "--from", "2024-05-01"], "has no date in it"),
        (["logs/{day}.gz", "--from", "2024-05-01"], "has a field that is not the date"),
        (["{date:%d}", "--from", "May"], "is not a day"),
        (["{date:%d}", "--from", "2024-05-02", "--to", "2024-05-01"], "is before --from"),
        (["{date:%d}", "--from", "2024-05-01", "--timezone", "Berlin"], "is not a known time zone"),
    ],
)
def test_a_backfill_that_cannot_work_is_refused(arguments: list[str], words: str, tmp_path: Path) -> None:
    assert_refused(run("backfill", *arguments, "--into", tmp_path / "warehouse", code=2), words)
    assert not (tmp_path / "warehouse").exists()


# --- the clock ------------------------------------------------------------------------------------------------

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


@thorough
@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_nothing_depends_on_a_clock_that_jumps(days: Path, tmp_path: Path) -> None:
    warehouse, log = tmp_path / "warehouse", tmp_path / "a.log"
    into = ("--into", warehouse)
    period = ("backfill", days, "--from", "2024-05-01", "--to", "2024-05-02", *into)
    log.write_bytes(lines((3, "x", "t1"), (3, "y", "t9")))

    def at(jump: str, *words: object) -> None:
        run_process(*words, env={**os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME": jump})

    at("+30d", "load", log, *into)
    ahead = [sys.executable, "-c", STOP, "file_storage.replace", str(int(signal.SIGKILL)), *map(str, period)]
    faked = {**os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME": "+1d"}
    assert subprocess.run(ahead, env=faked, capture_output=True, check=False).returncode == -signal.SIGKILL
    at("-2d", *period)
    log.write_bytes(log.read_bytes() + lines((1, "z", "t9")))
    at("-400d", "load", log, *into)
    at("+2y", "compact", *into)
    at("-1h", "loads", "forget", tmp_path / "2024-05-01" / "a.log", *into)
    at("-20y", "vacuum", *into)
    at("-1d", *period)
    told = [row["loaded_at"] for row in list_loads(str(warehouse))]
    assert max(told) - min(told) > timedelta(days=300)
    assert_fresh(warehouse, [log, *(tmp_path / f"2024-05-0{day}" / "a.log" for day in (1, 2))], tmp_path)


# --- readers --------------------------------------------------------------------------------------------------


def test_polars_deltalake_and_duckdb_read_the_pinned_version(copy: Path) -> None:
    import deltalake

    pins = json.loads((copy / "snapshot.json").read_bytes())["tables"]
    for table in etl.schema.TABLES:
        expected = etl.scan(str(copy), table.name).collect()
        by_polars = pl.read_delta(str(copy / table.name), version=pins[table.name])
        assert by_polars.select(expected.columns).sort(pl.first()).equals(expected.sort(pl.first()))
        pinned = deltalake.DeltaTable(copy / table.name, version=pins[table.name])
        assert pinned.to_pyarrow_table().num_rows == expected.height
        files = pinned.file_uris()
        if files:
            counted = duckdb.sql(
                f"select count(*), count(received_date) from read_parquet({files}, hive_partitioning=true)"
            )
            assert counted.fetchall() == [(expected.height, expected.height)]
    found = deltalake.QueryBuilder().register("c", deltalake.DeltaTable(copy / "conversions"))
    rows = found.execute("select match_key, received_date, value from c order by 1").read_all()
    assert pl.DataFrame(rows)["match_key"].to_list() == ["a", "b"]


def test_every_table_is_there_with_its_columns_when_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    etl.load([tmp_path / "empty"], tmp_path / "warehouse")
    for table in etl.schema.TABLES:
        assert etl.scan(str(tmp_path / "warehouse"), table.name).drop("received_date").collect().equals(table.empty())


def test_rows_without_a_time_are_under_the_null_day(tmp_path: Path) -> None:
    (tmp_path / "dump.jsonl").write_text('{"click_id": "a"}\n', encoding="utf-8")
    etl.load([tmp_path / "dump.jsonl"], tmp_path / "warehouse")
    assert etl.scan(str(tmp_path / "warehouse"), "conversions").collect()["received_date"].to_list() == [None]
    assert verify(str(tmp_path / "warehouse")) == []


@pytest.mark.parametrize("name", ["a b", "é", "a%20b", "a=b", "a[b]"])
def test_a_place_that_readers_of_delta_cannot_reach_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot hold a warehouse"):
        etl.load([], str(tmp_path / name / "warehouse"))
