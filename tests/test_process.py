"""The command as a process: streams that are closed, full or unread, signals at any time, and limits."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl import cli
from tests.commands import run, run_process
from tests.records import log

ROWS = "Redirect it to a file on a disk with space."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.log").write_bytes(log(0, 20))
    return tmp_path / "a.log"


def with_streams(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command from a shell, with streams as the shell's code says."""
    words = [sys.executable, "-m", "etl", *map(str, arguments)]
    return subprocess.run(["bash", "-c", f'"$@" {code}', "bash", *words], capture_output=True, text=True, check=False)


def test_results_that_cannot_be_written_are_an_error_of_two_lines() -> None:
    for code, why in ((">&-", "it is closed"), (">/dev/full", "No space left on device")):
        ended = with_streams(code, "schema")
        shown = f"error: Standard output cannot be written: {why}.\n       {ROWS}\n"
        assert (ended.returncode, ended.stderr) == (1, shown)


def test_a_summary_that_cannot_be_written_says_that_the_tables_are_published(path: Path) -> None:
    ended = with_streams(">/dev/full", "run", path, "--out", path.parent / "out", "--quiet", "--summary", "-")
    hint = "The tables are published nevertheless."
    assert (ended.returncode, ended.stderr.splitlines()[-1].strip()) == (1, hint)
    assert pl.read_parquet(path.parent / "out" / "conversions").height == 20


def test_messages_that_cannot_be_written_change_no_exit_code(path: Path) -> None:
    out = path.parent / "out"
    assert with_streams("<&- >&- 2>&-", "run", path, "--out", out).returncode == 0
    assert pl.read_parquet(out / "conversions").height == 20
    assert with_streams("2>/dev/full", "run", path.parent / "nothing", "--out", out).returncode == 1


def test_standard_input_that_is_closed_is_an_error(path: Path) -> None:
    ended = with_streams("<&-", "run", "-", "--out", path.parent / "out")
    assert (ended.returncode, ended.stderr.splitlines()[0]) == (1, "error: Standard input is closed.")


#: The command, to which a signal comes when the first module of its own is imported, and at the first work.
EARLY = """
import os, signal, sys
class Kick:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})
            for _ in range(1000): pass
sys.meta_path.insert(0, Kick())
from etl.__main__ import main
sys.argv = ["postback-etl", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    ("name", "number"), [("typer", signal.SIGINT), ("etl.cli.audit", signal.SIGTERM), ("polars", signal.SIGINT)]
)
def test_a_signal_while_modules_are_imported_ends_the_command_without_a_traceback(
    name: str, number: int, path: Path
) -> None:
    script = EARLY.format(name=name, number=int(number))
    ended = subprocess.run(
        [sys.executable, "-c", script, "run", path, "--out", path.parent / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: Interrupted: nothing was published.\n       Run the same command again.\n",
    )


def test_an_interrupt_that_nothing_can_raise_is_repeated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Freed:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):
                pass

    def begin(*_arguments: Any, **_options: Any) -> None:
        Freed()
        signal.pause()

    monkeypatch.setattr("etl.runner.run.run_job", begin)
    ended = run("run", path, "--out", path.parent / "out", "--quiet", code=1)
    assert ended.stderr.startswith(b"error: Interrupted")


@pytest.mark.parametrize("command", ["run", "load", "forget", "compact", "export"])
def test_a_signal_after_the_commit_does_not_turn_a_done_job_into_a_failure(
    command: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = ("--into", path.parent / "wh")
    if command not in ("run", "load"):
        run("load", path, *into)
    place = {
        "run": "etl.runner.publish.Stage.publish",
        "load": "etl.warehouse.load.apply",
        "forget": "etl.warehouse.maintenance.apply",
        "compact": "etl.warehouse.maintenance.commit_all",
        "export": "etl.runner.publish.Stage.publish",
    }[command]
    commit = _attribute(place)

    def commit_and_kick(*arguments: Any) -> Any:
        done = commit(*arguments)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        return done

    monkeypatch.setattr(place, commit_and_kick)
    words = {
        "run": ("run", path, "--out", path.parent / "out"),
        "load": ("load", path, *into),
        "forget": ("loads", "forget", path, *into),
        "compact": ("compact", *into),
        "export": ("export", *into, "--out", path.parent / "exported"),
    }[command]
    run(*words, code=0)


def _attribute(place: str) -> Any:
    """Returns what a dotted name means."""
    from pkgutil import resolve_name

    return resolve_name(place)


def test_too_little_address_space_is_an_error_of_two_lines(path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (600 * 2**20, resource.RLIM_INFINITY))

    ended = run_process("run", path, "--out", path.parent / "out", code=1, preexec_fn=limit)
    assert ended.stderr == (
        b"error: This process may use 629 MB of address space, but needs 1,000 MB.\n"
        b"       Raise the limit (ulimit -v, or LimitAS= of a systemd unit), and run again.\n"
    )
    assert cli._LEAST_BYTES > 600 * 2**20


# --- Parquet ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["snappy", "zstd", "uncompressed"])
def test_a_broken_page_of_a_parquet_file_is_an_error_that_names_the_file(compression: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    texts = [f'{{"click_id": "c{i}"}}' for i in range(30_000)]
    pl.DataFrame({"payload": texts}).write_parquet(broken, compression=compression, data_page_size=10_000)
    content = bytearray(broken.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3_000] = b"\xff" * 3_000
    broken.write_bytes(content)
    words = ("--account", "a", "--integration", "b", "--quiet")
    refused = run("run", broken, "--out", tmp_path / "out", *words, code=1)
    assert f"error: {broken} is not valid Parquet: " in refused.stderr.decode()
    assert len(refused.stderr.splitlines()) == 2


def test_texts_of_a_parquet_file_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    raws = [b'{"click_id": "a"}', b'{"click_id": "b\xff"}', b'{"click_id": "c"}']
    texts = pa.array(raws, pa.binary()).view(pa.string())
    pq.write_table(pa.table({"payload": texts}), tmp_path / "a.parquet")
    run("run", tmp_path / "a.parquet", "--out", tmp_path / "out", "--account", "a", "--integration", "b", "--quiet")
    conversions = pl.read_parquet(tmp_path / "out" / "conversions")
    assert {"a", "c"} <= set(conversions["click_id"])
    assert conversions.height + pl.read_parquet(tmp_path / "out" / "rejections").height == 3
