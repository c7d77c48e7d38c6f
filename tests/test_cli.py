"""The command as a scheduler and a person meet it: exit codes, two-line errors, what goes to standard output."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
import zstandard

from etl.cli import messages
from etl.cli.progress import report_progress
from etl.schema import TABLES
from tests.commands import run, run_process, start_process
from tests.effort import IS_THOROUGH, thorough
from tests.records import LINE

SAMPLES = Path(__file__).parents[1] / "sample_data"


def read(out: Path, table: str) -> pl.DataFrame:
    return pl.read_parquet(out / table / "*.parquet")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text(LINE.format("click_id=a&value=5") + LINE.format("value=5") + "\n", encoding="utf-8")
    return path


def test_a_run_writes_four_tables_and_says_so_on_standard_error(log: Path, tmp_path: Path) -> None:
    finished = run_process("run", log, "--out", tmp_path / "out")
    assert finished.stdout == b""
    assert b"3 records = 1 conversion + 1 rejection + 1 skipped" in finished.stderr
    for table in TABLES:
        assert read(tmp_path / "out", table.name).schema == table.schema


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["run", "{log}", "--out", "{out}", "-q", "--max-rejected", "1"], 0, marks=thorough),
        pytest.param(["run", "{log}.none", "--out", "{out}"], 1, marks=thorough),
        pytest.param(["run", "{log}", "--out", "{out}", "--nonsense"], 2, marks=thorough),
        (["run", "{log}", "--out", "{out}", "-q", "--max-rejected", "0"], 3),
        pytest.param(["schema", "items"], 0, marks=thorough),
        (["--version"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_the_installed_command_says_and_returns_what_these_tests_see(
    arguments: list[str], code: int, log: Path, tmp_path: Path
) -> None:
    named = [argument.format(log=log, out=tmp_path / "out") for argument in arguments]
    installed = subprocess.run([Path(sys.executable).parent / "postback-etl", *named], capture_output=True, check=False)
    here = run(*named, code=code)
    assert (installed.returncode, installed.stdout, installed.stderr) == (code, here.stdout, here.stderr)


@pytest.mark.parametrize(
    "command", [["schema"], pytest.param(["explain", "click_id=a", "--json"], marks=thorough)], ids=" ".join
)
def test_a_reader_that_has_gone_away_is_no_defect(command: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start_process(*command, stdout=write_end, stderr=subprocess.PIPE)
    os.close(write_end)
    assert (process.communicate()[1], process.returncode) == (b"", 1)


def test_quiet_says_nothing(log: Path, tmp_path: Path) -> None:
    finished = run("run", log, "--out", tmp_path / "out", "--quiet")
    assert (finished.stdout, finished.stderr) == (b"", b"")


def test_the_summary_on_standard_output_is_json_and_balances(log: Path, tmp_path: Path) -> None:
    summary = json.loads(run("run", log, "--out", tmp_path / "out", "--summary", "-", "--quiet").stdout)
    assert summary["records"] == summary["conversions"] + summary["rejections"]["total"] + summary["skipped"]["total"]
    assert summary["inputs"][0]["format"] == "combined"
    assert summary["value_total"] == {"": "5"}
    assert summary["value_by_event"] == {"Lead": {"": "5"}}
    keys = {"run_id", "ruleset", "inputs", "records", "conversions", "items", "passthroughs", "rejections", "skipped"}
    keys |= {"issues", "unrecognised_parameters", "value_total", "seconds", "peak_memory_bytes"}
    assert keys <= summary.keys()


def test_an_empty_input_gives_four_empty_tables(tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    run("run", tmp_path / "empty.log", "--out", tmp_path / "out")
    for table in TABLES:
        rows = read(tmp_path / "out", table.name)
        assert (rows.height, rows.schema) == (0, table.schema)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.log"], 1, "does not exist"),
        (["ftp://example.com/a.log"], 2, "not an object-store address"),
        (["{log}", "--format", "nginx"], 2, "auto, combined, common"),
        (["{log}", "--log-format", "$status"], 2, "$request"),
        (["{log}", "--default-currency", "EURO"], 2, "three letters"),
        (["{log}", "--since", "yesterday"], 2, "2024-05-01"),
        (["{log}", "--status", "ok"], 2, "2xx"),
        (["{log}", "--max-rejected", "few"], 2, "2.5%"),
        (["{log}", "--max-record", "4"], 2, "4MB"),
        (["{log}", "--ruleset", "missing.toml"], 2, "missing.toml"),
        (["{log}", "--ruleset", "shopware"], 2, "clickbank, digistore24"),
        (["{log}", "--summary", "missing/summary.json"], 2, "does not exist"),
        (["{unknown}"], 2, "no known format"),
        (["{cut}"], 1, "cannot be read"),
        (["{zip}"], 1, "an archive that cannot be read"),
    ],
)
def test_a_bad_run_is_two_lines_and_publishes_nothing(
    arguments: list[str], code: int, words: str, log: Path, tmp_path: Path
) -> None:
    files = {name: tmp_path / name for name in ("unknown", "cut", "zip")}
    files["unknown"].write_text("some text jane@example.com\n" * 3, encoding="utf-8")
    files["cut"].write_bytes(gzip.compress(log.read_bytes() * 100)[:-20])
    files["zip"].write_bytes(b"PK\x03\x04rest")
    named = [argument.format(log=log, **files) for argument in arguments]
    finished = run("run", *named, "--out", tmp_path / "out", code=code)
    lines = finished.stderr.decode().splitlines()
    assert len(lines) == 2, lines
    assert lines[0].startswith("error: ")
    assert words in finished.stderr.decode()
    assert b"jane@" not in finished.stderr
    assert finished.stdout == b""
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir() if "staging" in path.name] == []


def test_a_wrong_flag_is_a_usage_error(log: Path, tmp_path: Path) -> None:
    assert b"No such option" in run("run", log, "--out", tmp_path / "out", "--nonsense", code=2).stderr


def test_more_rejections_than_allowed_is_exit_3_but_published(log: Path, tmp_path: Path) -> None:
    run("run", log, "--out", tmp_path / "a", "--max-rejected", "0", code=3)
    run("run", log, "--out", tmp_path / "a", "--max-rejected", "49.9%", code=3)
    run("run", log, "--out", tmp_path / "a", "--max-rejected", "50%")
    run("run", log, "--out", tmp_path / "a", "--max-rejected", "1")
    assert read(tmp_path / "a", "conversions").height == 1


@pytest.mark.parametrize("content", ["a file", "a foreign folder", "a foreign file among the tables"])
def test_a_destination_of_others_is_refused_and_untouched(content: str, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if content == "a file":
        out.write_text("mine", encoding="utf-8")
    elif content == "a foreign folder":
        out.mkdir()
        (out / "mine.txt").write_text("mine", encoding="utf-8")
    else:
        run("run", log, "--out", out, "-q")
        (out / "conversions" / "mine.txt").write_text("mine", encoding="utf-8")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    run("run", log, "--out", out, code=2)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_a_second_run_replaces_the_tables(log: Path, tmp_path: Path) -> None:
    run("run", log, "--out", tmp_path / "out", "-q")
    log.write_text(LINE.format("click_id=b") * 2, encoding="utf-8")
    run("run", log, "--out", tmp_path / "out", "-q")
    assert read(tmp_path / "out", "conversions")["match_key"].to_list() == ["b", "b"]


def test_standard_input_folders_and_globs(log: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "deep"
    folder.mkdir(parents=True)
    for name in ("a.log", "b.log", ".hidden"):
        (folder / name).write_text(LINE.format(f"click_id={name}"), encoding="utf-8")
    for argument in (tmp_path / "logs", tmp_path / "logs" / "**" / "*.log"):
        run("run", argument, "--out", tmp_path / "out", "-q")
        assert sorted(read(tmp_path / "out", "conversions")["match_key"]) == ["a.log", "b.log"]
    run("run", "-", "--out", tmp_path / "out", "-q", stdin=log.read_bytes())
    assert read(tmp_path / "out", "conversions")["source"].to_list() == ["-"]


@pytest.mark.parametrize(
    "compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress, bytes], ids=lambda f: f.__name__
)
def test_compression_is_told_by_magic_bytes_and_members_follow_each_other(compress: Any, tmp_path: Path) -> None:
    lines = [LINE.format(f"click_id={i}").encode() for i in range(3)]
    path = tmp_path / "log.txt"
    path.write_bytes(b"".join(compress(line) for line in lines))
    run("run", path, "--out", tmp_path / "out", "-q")
    rows = read(tmp_path / "out", "conversions")
    assert rows["match_key"].to_list() == ["0", "1", "2"]
    assert rows["record_no"].to_list() == [1, 2, 3]
    assert rows["byte_offset"].to_list() == [0, len(lines[0]), 2 * len(lines[0])]


def test_the_same_bytes_under_two_names_are_counted_once(log: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.gz").write_bytes(gzip.compress(log.read_bytes()))
    finished = run("run", log, tmp_path / "copy.gz", "--out", tmp_path / "out", "--summary", "-")
    assert json.loads(finished.stdout)["records"] == 3
    assert b"the same bytes" in finished.stderr


def test_the_period_is_half_open_and_what_is_outside_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(
        "".join(LINE.replace("12:00:00", f"1{i}:00:00").format(f"click_id={i}") for i in range(4)), encoding="utf-8"
    )
    finished = run(
        *("run", path, "--out", tmp_path / "out", "--summary", "-", "-q"),
        *("--since", "2024-05-01T11:00:00Z", "--until", "2024-05-01T15:00:00+02:00"),
    )
    assert read(tmp_path / "out", "conversions")["match_key"].to_list() == ["1", "2"]
    assert json.loads(finished.stdout)["skipped"]["by_reason"] == {"outside_period": 2}


def test_statuses_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(
        "".join(LINE.replace('" 200 ', f'" {code} ').format(f"click_id={code}") for code in (200, 302, 500)),
        encoding="utf-8",
    )
    run("run", path, "--out", tmp_path / "out", "--status", "2xx,500", "-q")
    assert read(tmp_path / "out", "conversions")["match_key"].to_list() == ["200", "500"]


def test_a_log_format_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(
        '1714564800.250 192.0.2.9 "POST /acme/collect/shop" 200 "click_id=\\x22a\\x22&value=5" "agent"\nnonsense\n',
        encoding="utf-8",
    )
    directive = """log_format post '$msec $remote_addr "$request_method $uri" $status '
                                   '"$request_body" "$http_user_agent"';"""
    run("run", path, "--out", tmp_path / "out", "--log-format", directive, "-q")
    row = read(tmp_path / "out", "conversions").to_dicts()[0]
    assert (row["match_key"], row["user_agent"], row["http_method"]) == ('"a"', "agent", "POST")
    assert row["received_at"].isoformat() == "2024-05-01T12:00:00.250000+00:00"
    assert read(tmp_path / "out", "rejections")["reason"].to_list() == ["malformed_record"]


def test_schema_in_three_shapes() -> None:
    assert b"conversions: one row is" in run("schema").stdout
    assert run("schema", "items", "--as", "markdown").stdout.startswith(b"### items")
    described = json.loads(run("schema", "--as", "json").stdout)
    assert list(described) == [table.name for table in TABLES]
    assert b"There is no table" in run("schema", "orders", code=2).stderr


def test_help_is_quick_because_it_loads_nothing_heavy() -> None:
    script = "import sys; sys.argv = ['x', '--help']\nfrom etl.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    heavy = ("polars", "pyarrow", "numpy", "pycountry", "deltalake", "pyspark", "vl_convert", "jinja2")
    heavy += ("prometheus_client", "openlineage", "requests")
    script += f"print(sorted(set({heavy}) & set(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert finished.stdout.splitlines()[-1] == "[]"


def test_the_tables_open_in_duckdb_and_pandas(sample_tables: Path) -> None:
    out = sample_tables
    for table in TABLES:
        expected = read(out, table.name).height
        counted = duckdb.sql(f"select count(*) from '{out / table.name}/*.parquet'").fetchall()
        assert counted == [(expected,)]
        assert len(pd.read_parquet(out / table.name)) == expected
    total = duckdb.sql(f"select sum(value), count(issues[1].code) from '{out}/conversions/*.parquet'").fetchall()
    assert total[0][0] == read(out, "conversions")["value"].sum()


def test_the_same_input_gives_the_same_bytes(log: Path, tmp_path: Path) -> None:
    files = [SAMPLES / "access.log.gz" if IS_THOROUGH else log, SAMPLES / "webhooks.jsonl"]
    run("run", *files, "--out", tmp_path / "a", "-q")
    run("run", *reversed(files), "--out", tmp_path / "b", "-q")
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*") if path.is_file())
    assert [
        name for name in names if (tmp_path / "a" / name).read_bytes() != (tmp_path / "b" / name).read_bytes()
    ] == []


INTERRUPTED = "error: Interrupted: nothing was published.\n       Run the same command again.\n"


#: A thread that an interrupt keeps from starting just when it has begun: it finds itself unknown to its own module.
INTERRUPTED_START = """
import sys, threading
from etl import cli

def start(function, arguments, begin=threading._start_new_thread):
    threading._active_limbo_lock.acquire()
    begin(function, arguments)
    raise cli.InterruptedRunError

told = threading.Event()
sys.unraisablehook = lambda unraisable: (cli._report_unraisable(unraisable), told.set())
threading._start_new_thread = start
try:
    threading.Thread(target=print).start()
except cli.InterruptedRunError:
    threading._active_limbo_lock.release()
assert told.wait(10)
"""


def test_a_thread_that_an_interrupt_kept_from_starting_says_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_START], capture_output=True, check=True)
    assert done.stderr == b""


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, *(pytest.param(one, marks=thorough) for one in (signal.SIGTERM, signal.SIGINT))]
)
def test_killed_at_any_point_the_old_tables_stand_and_the_next_run_cleans_up(
    number: signal.Signals, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run("run", log, "--out", out, "-q")
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    big = tmp_path / "big.log"
    big.write_text(
        "".join(LINE.format(f"click_id={i}&email=j{i}@example.com") for i in range(30_000)), encoding="utf-8"
    )
    lock = tmp_path / ".out.staging" / "lock"
    for delay in (0.0, 0.3, 0.6, 1.0) if IS_THOROUGH else (0.0, 0.5):
        process = start_process("run", big, "--out", out, "-q", stderr=subprocess.PIPE)
        while not lock.exists() or lock.read_text() != str(process.pid):
            assert process.poll() is None
        time.sleep(delay)
        process.send_signal(number)
        message = process.communicate()[1].decode()
        now = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
        assert now == before or read(out, "conversions").height == 30_000
        if number != signal.SIGKILL:
            assert process.returncode == (1 if now == before else 0)
            assert message == (INTERRUPTED if now == before else "")
            assert not lock.exists()
        if now != before:
            break
    run("run", log, "--out", out, "-q")
    assert read(out, "conversions").height == 1
    assert not (tmp_path / ".out.staging").exists()


def test_two_runs_at_once_do_not_meet(log: Path, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    first = start_process("run", "-", "--out", tmp_path / "out", "-q", stdin=read_end)
    while not (tmp_path / ".out.staging" / "lock").exists() or not (tmp_path / ".out.staging" / "lock").read_text():
        assert first.poll() is None
    finished = run("run", log, "--out", tmp_path / "out", code=1)
    assert f"process {first.pid}".encode() in finished.stderr
    os.write(write_end, log.read_bytes())
    os.close(write_end)
    os.close(read_end)
    assert first.wait() == 0
    assert read(tmp_path / "out", "conversions").height == 1


def test_no_mark_in_the_path_of_the_tables_means_anything(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "a [b] %20{c}*?é=1" / "out"
    out.parent.mkdir()
    run("run", log, "--out", out)
    (part,) = (out / "conversions").iterdir()
    row_id = pl.read_parquet(part, glob=False)["conversion_id"][0]
    assert b"click_id" in run("explain", f"{out}:{row_id}").stdout
    assert b"1 of these" in run("audit", out).stdout


def test_a_shell_completes_commands_and_options() -> None:
    def completed(words: str) -> list[str]:
        given = {"COMP_WORDS": words, "COMP_CWORD": f"{words.count(' ')}", "_POSTBACK_ETL_COMPLETE": "complete_bash"}
        return run(env={**os.environ, **given}, code=None).stdout.decode().split()

    assert completed("postback-etl ru") == ["run", "rules"]
    assert completed("postback-etl audit --ti") == ["--timezone"]


def test_the_last_lines_of_a_run_show_money_by_currency_and_what_would_cure_rejections(tmp_path: Path) -> None:
    sent = [
        "click_id=a&value=5.5&currency=USD&event_name=Purchase",
        "click_id=b&value=1200&currency=EUR&event_name=Purchase",
        "click_id=c&value=7&currency=EUR&event_name=Refund",
        "click_id=d&conversion_type=purchas",
        "value=1",
    ]
    (tmp_path / "a.log").write_text("".join(map(LINE.format, sent)), encoding="utf-8")
    shown = run("run", "a.log", "--out", "out dir", "--default-currency", "usd", cwd=tmp_path).stderr.decode()
    lines = shown.splitlines()
    assert lines[3:7] == [
        "  USD: Purchase 5.5",
        "  EUR: Purchase 1,200, Refund 7",
        "  1 missing_identity: send click_id, ref_id or email",
        "  1 unknown_conversion_type: send a type of the page, or add this one to a ruleset (1: send 'purchase')",
    ]
    assert lines[-2] == "  next: postback-etl audit 'out dir'"
    explained = run(*shlex.split(lines[-1])[1:], cwd=tmp_path).stdout.decode()
    assert "reason: missing_identity" in explained


def test_lines_fold_at_words_on_a_terminal_of_any_width_and_nowhere_else() -> None:
    line = "warning: 12 inputs in no known format are left out: " + "a" * 30
    assert messages.folded(line, None) == [line]
    for width in range(12, 90):
        parts = messages.folded(line, width)
        assert " ".join(part.strip() for part in parts) == line
        assert all(len(part) <= width or " " not in part.strip() for part in parts)


def test_progress_is_shown_within_a_second_even_if_nothing_is_done_yet(capfd: pytest.CaptureFixture[str]) -> None:
    with report_progress(is_quiet=False) as progress:
        progress.begin("reading", 331_000_000)
        progress.advance(12_345_678, 1)
        time.sleep(1.0)  # what is tested
    assert re.fullmatch(r"reading: 12\.3 of 331 MB, [0-9]+ s left, 1 record\n", capfd.readouterr().err)
