"""What disk and memory a run may use: it says what it needs, and ends before it begins where that is not there."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from etl.options import RunOptions
from etl.runner import disk_space, publish, staged_parts
from etl.runner import run as running
from etl.runner.stage_inputs import POOL_BYTES, PROCESS_BYTES, jobs_for, run_request
from etl.sources.storage.surveys import survey
from etl.warehouse import file_storage
from etl.warehouse.snapshots import open_for_writing
from tests.commands import assert_refused, run
from tests.records import LINE

OTHER = '192.0.2.1 - - [01/May/2024:12:00:00 +0000] "GET /logo.png HTTP/1.1" 200 2 "-" "-"\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """100 kB of a log, of which about a half is postbacks."""
    path = tmp_path / "a.log"
    half = LINE.format("click_id=a&value=5"), OTHER
    path.write_text("".join(half) * 500, encoding="utf-8")
    return path


def free(size: int) -> Callable[[Any], Any]:
    usage = shutil.disk_usage("/")
    return lambda _: usage._replace(free=size)


def test_only_lines_of_postbacks_need_disk(log: Path) -> None:
    found = survey(log, str(log), 2**20)
    assert disk_space.postback_bytes(found, b"") < found.plain_bytes
    assert 0.4 < disk_space.postback_bytes(found, b"collect") / found.plain_bytes < 0.7
    assert disk_space.postback_bytes(found, b"nothing") == 0


@pytest.mark.parametrize("command", [("run", "--out", "out"), ("load", "--into", "out")], ids=lambda words: words[0])
def test_a_run_that_cannot_have_its_disk_ends_before_it_begins(
    command: tuple[str, str, str], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verb, option, out = command
    monkeypatch.setattr(shutil, "disk_usage", free(10_000))
    finished = run(verb, log.name, option, out, cwd=log.parent, code=1)
    assert_refused(finished, " kB of disk; 10 kB are free on /", "--tmp")
    assert [*log.parent.glob("out/*/*.parquet")] == [*log.parent.glob("out/*/*/*.parquet")] == []


def test_much_is_said_before_the_work(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_space, "_PIECES", 1000)
    first = run("run", log.name, "--out", "out", cwd=log.parent).stderr.decode().splitlines()[0]
    assert first.startswith("needs about ")
    assert " MB of disk; " in first


@pytest.mark.parametrize("command", [("run", "--out"), ("load", "--into")], ids=lambda words: words[0])
def test_pieces_and_pipes_are_kept_in_the_folder_for_temporary_files(
    command: tuple[str, str], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where this is another disk, and although a killed run has left its pieces there."""
    seen: set[str] = set()
    kept, moved = staged_parts.Piece.write, os.rename

    def write(piece: Any, stage: Path, *rest: Any) -> None:
        seen.add(str(stage.parent))
        seen.add(tempfile.gettempdir())
        kept(piece, stage, *rest)

    def rename(source: Any, target: Any, **dirs: Any) -> None:
        if str(tmp) in str(source):
            raise OSError(18, "Invalid cross-device link")
        moved(source, target, **dirs)

    tmp = log.parent / "tmp"
    tmp.mkdir()
    run(*command, log.parent / "usual", "-", stdin=log.read_bytes())
    monkeypatch.setattr(staged_parts.Piece, "write", write)
    monkeypatch.setattr(os, "rename", rename)
    run(*command, log.parent / "out", "-", "--tmp", tmp, stdin=log.read_bytes())
    assert seen == {str(tmp)}
    assert [*tmp.iterdir()] == []
    names = list((log.parent / "usual").rglob("part-*.parquet"))
    assert [path.read_bytes() for path in names] == [
        (log.parent / "out" / path.relative_to(log.parent / "usual")).read_bytes() for path in names
    ]


def test_no_two_runs_at_once_share_a_folder_of_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    with ExitStack() as both_runs:
        for place in ("a", "b"):
            (tmp_path / place).mkdir()
            monkeypatch.chdir(tmp_path / place)
            folders.append(both_runs.enter_context(disk_space.pieces_in(tmp_path, Path("usual"), Path("out"))))
        assert folders[0] != folders[1]


def test_a_folder_that_is_none_is_refused(log: Path) -> None:
    finished = run("run", log, "--out", log.parent / "out", "--tmp", log.parent / "none", code=2)
    assert_refused(finished, "--tmp", "not a folder that can be written")


def test_less_memory_means_fewer_processes_and_too_little_is_refused(log: Path) -> None:
    def jobs(memory: int | None) -> int:
        request = run_request([str(log)], log, RunOptions(jobs=4, max_memory=memory), lambda *_: None)  # type: ignore[arg-type, return-value]
        return jobs_for(POOL_BYTES, request)

    assert [jobs(memory) for memory in (None, PROCESS_BYTES, 3 * PROCESS_BYTES, 10**12)] == [4, 1, 3, 4]
    finished = run("run", log, "--out", log.parent / "out", "--max-memory", "100MB", code=2)
    assert_refused(finished, "from 500MB on", "2GB")


@pytest.mark.parametrize("command", [("run", "--out"), ("load", "--into")], ids=lambda words: words[0])
def test_a_dry_run_refuses_what_the_run_would_refuse_and_changes_nothing(
    command: tuple[str, str], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verb, option = command
    (log.parent / "foreign").mkdir()
    (log.parent / "foreign" / "a.txt").touch()
    (log.parent / "b.toml").write_text('dedup_scope = "transaction"\n', encoding="utf-8")
    run("load", log, "--into", log.parent / "loaded", "-q")
    refused = [
        (log.parent / "foreign", (), 2, "a.txt"),
        (log / "below", (), 1, "cannot be created: Not a directory"),
    ]
    if verb == "load":
        refused.append((log.parent / "loaded", ("--reload", "--ruleset", log.parent / "b.toml"), 2, "finds duplicates"))
    (log.parent / "mixed.log").write_text(LINE.format("click_id=a") * 20 + "nothing\n" * 80, encoding="utf-8")
    before = sorted(log.parent.rglob("*"))
    for place, more, code, words in refused:
        assert_refused(run(verb, log, option, place, "--dry-run", *more, code=code), words)
        assert_refused(run(verb, log, option, place, *more, code=code), words)
    for more in (("--dry-run",), ()):
        finished = run(verb, log.parent / "mixed.log", option, log.parent / "new", *more, code=2)
        assert_refused(finished, "only 20 of 100 records match", "--min-matched 20%")
        shutil.rmtree(log.parent / "new", ignore_errors=True)
    monkeypatch.setattr(shutil, "disk_usage", free(10_000))
    assert_refused(run(verb, log, option, log.parent / "new", "--dry-run", code=1), "The work needs")
    assert sorted(log.parent.rglob("*")) == before


def test_a_dry_run_meets_another_writer(log: Path) -> None:
    run("load", log, "--into", log.parent / "loaded", "-q")
    with open_for_writing(str(log.parent / "loaded")):
        finished = run("load", log, "--into", log.parent / "loaded", "--dry-run", code=1)
    assert_refused(finished, f"locked by another run (process {os.getpid()})")


class RefusingLibrary:
    """A C library whose file systems cannot swap folders."""

    def __init__(self, code: int) -> None:
        self.code = code

    def __getattr__(self, name: str) -> Callable[..., int]:
        assert name in ("renameat2", "renamex_np")
        return lambda *_: ctypes.set_errno(self.code) or -1


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_swap_folders(code: int, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New tables need no swap; old ones are refused before the work, and stay."""
    out = log.parent / "out"
    out.mkdir()
    monkeypatch.setattr(publish.ctypes, "CDLL", lambda *_, **__: RefusingLibrary(code))
    monkeypatch.setattr("etl.engines.local_pool._call_glibc", lambda *_: None)
    run("run", log, "--out", out, "-q")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    monkeypatch.setattr(running, "survey_inputs", None)  # nothing is read
    finished = run("run", log, "--out", out, code=1)
    assert_refused(finished, f"{out} is on a file system that cannot swap two folders", "Remove the old tables first")
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert sorted(path.name for path in log.parent.iterdir()) == ["a.log", "out"]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_lock_files(code: int, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(publish.fcntl, "flock", refuse)
    finished = run("run", log, "--out", log.parent / "out", code=1)
    assert_refused(
        finished, f"{log.parent} is on a file system that cannot lock files", "Name another --out, on a disk"
    )
    assert sorted(log.parent.iterdir()) == [log]
    finished = run("load", log, "--into", log.parent / "loaded", code=1)
    assert_refused(finished, "cannot lock files", "Name another warehouse")


def test_a_place_where_a_disk_is_mounted(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (log.parent / "out").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda _: True)
    finished = run("run", log, "--out", log.parent / "out", "--dry-run", code=2)
    assert_refused(finished, "is where a disk is mounted", "Name a folder in it")


def test_a_summary_that_cannot_be_written_leaves_no_file_behind(log: Path) -> None:
    (log.parent / "s.json").mkdir()
    finished = run("load", log, "--into", log.parent / "loaded", "-q", "--summary", log.parent / "s.json", code=1)
    assert_refused(finished, "--summary", "Is a directory")
    assert sorted(path.name for path in log.parent.iterdir()) == ["a.log", "loaded", "s.json"]


@pytest.mark.parametrize("reason", ["No space left on device", "Generic LocalFileSystem error (os error 28)"])
def test_a_full_disk_names_the_options_that_name_another(reason: str) -> None:
    assert "--into" in file_storage.way_out(reason)
    assert "--into" not in file_storage.way_out("Permission denied")
