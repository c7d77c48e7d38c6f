"""What is no regular file, and what folders and archives hide: it is read, refused by name, or listed."""

from __future__ import annotations

import ast
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import warnings
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import polars as pl
import pytest

import etl
from etl.errors import ChangedInputError, EtlError, UsageError
from etl.runner.threads import map_in_threads
from etl.sources.storage import inputs
from tests.commands import assert_refused, run, start_process
from tests.places import ROOT
from tests.records import log

FEW = log(0, 5)


def clicks(out: Path) -> set[str]:
    return {click.removeprefix("c") for click in pl.read_parquet(out / "conversions")["click_id"]}


def run_in(folder: Path, *arguments: object, **options: Any) -> dict[str, Any]:
    return etl.run([str(argument) for argument in arguments], folder / "out", **options)


def passed_over(summary: dict[str, Any]) -> dict[str, str]:
    """What was passed over, by the name of the file, with the reason."""
    return {Path(one["path"]).name: one["why"] for one in summary["passed_over"]}


# --- what is no regular file ------------------------------------------------------------------------------------


def written(fifo: Path, data: bytes) -> threading.Thread:
    """Writes into a pipe, once somebody reads it."""
    writer = threading.Thread(target=fifo.write_bytes, args=(data,))
    writer.start()
    return writer


def test_a_pipe_that_is_named_is_read_once_and_its_size_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    writer = written(tmp_path / "fifo", log(0, 3_000))
    finished = run("run", tmp_path / "fifo", "--out", tmp_path / "out", "--summary", "-")
    writer.join()
    summary = orjson.loads(finished.stdout)
    assert (summary["conversions"], summary["inputs"][0]["bytes"]) == (3_000, len(log(0, 3_000)))
    assert f"{len(log(0, 3_000)):,} bytes through a pipe" in finished.stderr.decode()


def test_a_pipe_that_is_named_twice_is_wrong_usage(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    writer = written(tmp_path / "fifo", FEW)
    with pytest.raises(UsageError, match="named twice"):
        run_in(tmp_path, tmp_path / "fifo", tmp_path / "fifo")
    writer.join()


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_standard_input_by_its_path_is_standard_input(name: str, tmp_path: Path) -> None:
    run("run", name, "--out", tmp_path / "out", "--quiet", stdin=FEW)
    assert len(clicks(tmp_path / "out")) == 5


def test_a_file_at_standard_input_is_read_whatever_process_reads_it(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(FEW)
    before = os.dup(0)
    descriptor = os.open(tmp_path / "a.log", os.O_RDONLY)
    os.dup2(descriptor, 0)
    try:
        with inputs.found_inputs(["/dev/stdin"], tmp_path) as (found, _):
            assert str(found[0].path).startswith(f"/proc/{os.getpid()}/fd/")
            assert found[0].path.read_bytes() == FEW  # type: ignore[union-attr]
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(descriptor)


def test_devices_and_sockets_are_refused_by_name(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name, kind in (("/dev/null", "device"), ("/dev/zero", "device"), (tmp_path / "socket", "socket")):
            refused = run("run", name, "--out", tmp_path / "out", code=1)
            assert f"{name} is a {kind}" in refused.stderr.decode()
            assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_that_waits_for_a_pipe(number: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    process = start_process("run", tmp_path / "fifo", "--out", tmp_path / "out", stderr=subprocess.PIPE)
    while str(tmp_path / "fifo") not in map(os.path.realpath, Path(f"/proc/{process.pid}/fd").iterdir()):
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err.decode().splitlines()[0]) == (1, "error: Interrupted: nothing was published.")


def test_a_file_that_becomes_a_pipe_is_an_error_and_no_wait(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(FEW)
    with inputs.found_inputs([str(tmp_path / "a.log")], tmp_path / "out") as found:
        (tmp_path / "a.log").unlink()
        os.mkfifo(tmp_path / "a.log")
        from etl.runner.run import run_job
        from etl.runner.stage_inputs import SILENT, run_request

        request = run_request([], tmp_path / "out", etl.options.RunOptions(), etl.engines.local_pool.workers)
        with pytest.raises(EtlError, match="it is no file"):
            run_job(request, SILENT, found)


def test_threads_that_wait_do_not_hold_up_an_error() -> None:
    release = threading.Event()

    def wait_or_fail(number: int) -> None:
        if number:
            raise EtlError("It fails.", "Look.")
        release.wait()

    with pytest.raises(EtlError, match="It fails"):
        map_in_threads(wait_or_fail, [0, 1, 2], 2)
    release.set()
    assert map_in_threads(lambda number: number * 2, range(50), 4) == list(range(0, 100, 2))


# --- what a folder hides ----------------------------------------------------------------------------------------


def test_linked_folders_are_read_once_and_what_leads_nowhere_is_listed(tmp_path: Path) -> None:
    logs, apart = tmp_path / "logs", tmp_path / "apart"
    (logs / "real").mkdir(parents=True)
    (apart / "deep").mkdir(parents=True)
    (logs / "real" / "a.log").write_bytes(log(0, 2))
    (apart / "deep" / "b.log").write_bytes(log(2, 4))
    (logs / "a_link").symlink_to(logs / "real")
    (logs / "apart").symlink_to(apart)
    (apart / "back").symlink_to(logs)
    (apart / "loop").symlink_to(apart / "loop")
    (logs / "up").symlink_to(tmp_path)
    (logs / "nowhere.log").symlink_to(tmp_path / "missing")
    os.mkfifo(logs / "fifo")
    summary = run_in(tmp_path, logs)
    assert sorted(Path(item["path"]).relative_to(logs).as_posix() for item in summary["inputs"]) == [
        "apart/deep/b.log",
        "real/a.log",
    ]
    assert passed_over(summary) == {
        "up": "a link to a folder above",
        "nowhere.log": "a link that leads nowhere",
        "loop": "Too many levels of symbolic links",
        "fifo": "a pipe",
    }
    manifest = orjson.loads((tmp_path / "out" / "_postback_etl.json").read_bytes())
    assert manifest["passed_over"] == summary["passed_over"]


def test_what_was_passed_over_is_a_warning_and_a_line_of_the_summary(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_bytes(FEW)
    (tmp_path / "logs" / "b.log").symlink_to("nothing")
    for command in (
        ("run", tmp_path / "logs", "--out", tmp_path / "out"),
        ("load", tmp_path / "logs", "--into", tmp_path / "wh"),
        ("inspect", tmp_path / "logs"),
    ):
        assert b"b.log (a link that leads nowhere)" in run(*command).stderr, command
    assert b"not read: " in run("run", tmp_path / "logs", "--out", tmp_path / "out").stderr


def test_what_is_named_and_cannot_be_read_is_an_error_of_two_lines(tmp_path: Path) -> None:
    (tmp_path / "nowhere").symlink_to("missing")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "link").symlink_to("missing")
    for name, why in (
        ("nowhere", "does not exist"),
        ("loop", "Too many levels of symbolic links"),
        ("n" * 300, "File name too long"),
        ("empty", "a folder without files"),
        ("*.log", "does not exist"),
    ):
        assert_refused(run("run", tmp_path / name, "--out", tmp_path / "out", code=1), why)


def deep_folder(top: Path) -> None:
    """Makes a folder whose path is longer than the system takes, with a log in it."""
    before = Path.cwd()
    os.chdir(top)
    try:
        for _ in range(20):
            Path("d" * 250).mkdir()
            os.chdir("d" * 250)
        Path("lost.log").write_bytes(FEW)
    finally:
        os.chdir(before)


def test_a_subfolder_that_cannot_be_read_is_listed(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_bytes(FEW)
    deep_folder(tmp_path / "logs")
    for argument in (tmp_path / "logs", tmp_path / "logs" / "**" / "*.log"):
        summary = run_in(tmp_path, argument)
        assert (summary["conversions"], *passed_over(summary).values()) == (5, "File name too long"), argument


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_folders_without_permission_are_an_error_if_named_and_listed_if_found() -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from etl.errors import EtlError\n"
        "from etl.sources.storage.folders import files_below, files_matching\n"
        "os.setuid(65534)\n"
        "top = Path(sys.argv[1])\n"
        "for found in files_below(top, top / 'x'), files_matching(f'{top}/**'), files_matching(f'{top}/*/*'):\n"
        "    print([path.name for path in found.files], [(Path(p).name, why) for p, why in found.passed_over])\n"
        "for find, argument in (files_below, (top / 'private', top)), (files_matching, (f'{top}/private/*',)):\n"
        "    try: find(*argument)\n"
        "    except EtlError as error: print(error.problem.rpartition(' cannot ')[2])\n"
    )
    with TemporaryDirectory(dir="/tmp") as folder:
        top = Path(folder)
        (top / "private").mkdir(mode=0o700)
        for name in ("a.log", "private/b.log"):
            (top / name).write_bytes(FEW)
        top.chmod(0o755)
        command = [sys.executable, "-c", code, folder]
        shown = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={"PYTHONPATH": str(ROOT)})
    denied = "[('private', 'Permission denied')]"
    assert shown.stdout.splitlines() == [
        f"['a.log'] {denied}",
        f"['a.log'] {denied}",
        f"[] {denied}",
        *["be read: Permission denied."] * 2,
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.log", ["a.log"]),
        ("*/*.log", ["x/b.log"]),
        ("**/*.log", ["a.log", "x/b.log", "x/y/c.log"]),
        ("x/**", ["x/b.log", "x/y/c.log"]),
        ("[ax]/*.log", ["x/b.log"]),
        ("**/y/?.log", ["x/y/c.log"]),
        (".*", [".hidden.log"]),
        ("*/y/c.log", ["x/y/c.log"]),
        ("*/../a.log", ["x/../a.log"]),
    ],
)
def test_patterns_match_what_the_shell_matches(pattern: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    for name in ("a.log", ".hidden.log", "x/b.log", "x/y/c.log"):
        (tmp_path / name).write_bytes(FEW)
    with inputs.found_inputs([f"{tmp_path}/{pattern}"], tmp_path / "out") as (found, _):
        assert [item.source.removeprefix(f"{tmp_path}/") for item in found] == expected


def test_no_walker_and_no_handler_in_sources_passes_over_an_error_of_the_system() -> None:
    swallowing = {"rglob", "glob", "iglob", "walk", "is_file", "is_dir", "is_fifo", "exists", "suppress"}
    found = []
    for path in sorted((ROOT / "etl" / "sources").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            place = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name)):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                found += [f"{place} calls {name}"] if name in swallowing else []
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "Exception"
                is_broad = any(name in caught for name in ("OSError", "PermissionError", "READ_ERRORS", "Exception"))
                answers = any(
                    isinstance(part, (ast.Raise, ast.Call)) or (isinstance(part, ast.Return) and part.value is not None)
                    for step in node.body
                    for part in ast.walk(step)
                )
                found += [f"{place} passes over {caught}"] if is_broad and not answers else []
    assert [one for one in found if not one.startswith("unnamed_files.py:")] == []
    assert [one.rpartition(" ")[2] for one in found] == ["exists"]  # of the copy of a pipe


# --- what an archive hides --------------------------------------------------------------------------------------


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def link(name: str, target: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def test_members_of_the_same_name_or_with_dots_in_it_are_all_read(tmp_path: Path) -> None:
    names = ["a.log", "a.log", "a.log (2)", "../up.log", "../../../../tmp/up.log", "/abs.log", "./x/../y.log"]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings(action="ignore"):
        for number, name in enumerate(names):
            archive.writestr(name, log(number, number + 1))
    (tmp_path / "a.zip").write_bytes(out.getvalue())
    (tmp_path / "a.tar").write_bytes(
        tar_of(*((tarfile.TarInfo(name), log(number, number + 1)) for number, name in enumerate(names)))
    )
    before = sorted(tmp_path.iterdir())
    for name in ("a.zip", "a.tar"):
        summary = run_in(tmp_path, tmp_path / name)
        sources = [item["path"].removeprefix(f"{tmp_path}/{name}/") for item in summary["inputs"]]
        assert (summary["conversions"], len(set(sources)), summary["passed_over"]) == (7, 7, []), name
        assert {"a.log", "a.log (2)", "a.log (3)", "../up.log"} <= set(sources)
        assert [item["records"] for item in summary["inputs"]] == [1] * 7
    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "out"]


@pytest.mark.parametrize("form", ["gnu", "posix", "posix --sparse-version=0.1"])
def test_sparse_members_are_read_with_their_holes(form: str, tmp_path: Path) -> None:
    with (tmp_path / "sparse.log").open("wb") as file:
        file.write(log(0, 100))
        file.seek(1 << 20)
        file.write(b"\n" + log(100, 200))
        file.truncate(2 << 20)
    (tmp_path / "after.log").write_bytes(log(200, 300))
    options = [f"--format={form.split(maxsplit=1)[0]}", *form.split()[1:]]
    command = ["tar", "-C", tmp_path, *options, "-cSf", tmp_path / "a.tar", "sparse.log", "after.log"]
    subprocess.run(list(map(str, command)), check=True)
    assert (tmp_path / "a.tar").stat().st_size < 1 << 20
    assert run_in(tmp_path, tmp_path / "a.tar")["conversions"] == 300


def test_links_and_pipes_in_archives_are_listed(tmp_path: Path) -> None:
    pipe = tarfile.TarInfo("fifo")
    pipe.type = tarfile.FIFOTYPE
    (tmp_path / "a.tar").write_bytes(
        tar_of((tarfile.TarInfo("a.log"), FEW), link("l", "/etc/passwd", tarfile.SYMTYPE), (pipe, b""))
    )
    assert passed_over(run_in(tmp_path, tmp_path / "a.tar")) == {"l": "a link to /etc/passwd", "fifo": "no file"}


@pytest.mark.parametrize("fault", ["a broken header", "another archive behind its end", "cut within a member"])
def test_an_archive_whose_end_is_not_its_end_is_an_error(fault: str, tmp_path: Path) -> None:
    whole = bytearray(tar_of((tarfile.TarInfo("a.log"), FEW), (tarfile.TarInfo("b.log"), FEW)))
    second = whole.index(b"b.log")
    if fault == "a broken header":
        whole[second] ^= 1
    elif fault == "another archive behind its end":
        whole += tar_of((tarfile.TarInfo("c.log"), FEW))
    else:
        del whole[second + 600 :]
    (tmp_path / "a.tar").write_bytes(whole)
    with pytest.raises(EtlError, match="cannot be read"):
        run_in(tmp_path, tmp_path / "a.tar")


def test_a_zip_archive_behind_another_is_an_error(tmp_path: Path) -> None:
    wholes = []
    for name in ("a.log", "b.log"):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(name, FEW)
        wholes.append(out.getvalue())
    (tmp_path / "a.zip").write_bytes(b"".join(wholes))
    with pytest.raises(EtlError, match="members that its list does not name"):
        run_in(tmp_path, tmp_path / "a.zip")


def test_an_archive_that_changes_after_its_members_were_listed_is_an_error(tmp_path: Path) -> None:
    from etl.runner.run import run_job
    from etl.runner.stage_inputs import SILENT, run_request

    (tmp_path / "a.tar").write_bytes(tar_of((tarfile.TarInfo("a.log"), FEW)))
    request = run_request([], tmp_path / "out", etl.options.RunOptions(), etl.engines.local_pool.workers)
    with inputs.found_inputs([str(tmp_path / "a.tar")], tmp_path / "out") as found:
        (tmp_path / "a.tar").write_bytes(tar_of((tarfile.TarInfo("a.log"), log(50, 55))))
        with pytest.raises(ChangedInputError):
            run_job(request, SILENT, found)
