"""Nothing passes in silence: inputs in no known format, without postbacks or times, or with one and the same reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import etl
from tests.commands import assert_refused, run
from tests.records import LINE

TEXT = "Remember to rotate the logs.\nAsk example.com for the others.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two logs, and two files that are none."""
    found = tmp_path / "logs"
    found.mkdir()
    for name in ("a.log", "b.log"):
        (found / name).write_text(LINE.format(f"click_id={name[0]}"), encoding="utf-8")
    (found / "notes.txt").write_text(TEXT, encoding="utf-8")
    (found / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10")
    return found


def summary_of(command: str, *arguments: object, out: Path, code: int = 0) -> tuple[dict[str, Any], str]:
    """The summary or report of a command, and what it wrote to standard error."""
    place = {"run": "--out", "load": "--into"}[command]
    finished = run(command, *arguments, place, out, "--summary", "-", "-q", code=code)
    return json.loads(finished.stdout or b"{}"), finished.stderr.decode()


@pytest.mark.parametrize("command", ["run", "load"])
def test_what_is_no_log_in_a_folder_is_listed_once_and_left_out(command: str, folder: Path, tmp_path: Path) -> None:
    summary, told = summary_of(command, folder, out=tmp_path / "out")
    assert summary["conversions"] == 2
    assert told.count("warning:") == 1
    assert f"2 inputs in no known format are left out: {folder}/logo.png, {folder}/notes.txt." in told


def test_a_run_says_what_it_left_out(folder: Path, tmp_path: Path) -> None:
    assert etl.run([folder], tmp_path / "out")["left_out"] == [f"{folder}/logo.png", f"{folder}/notes.txt"]
    assert etl.run([folder / "a.log"], tmp_path / "out")["left_out"] == []


def test_a_load_skips_what_is_no_log_each_time(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        report, told = summary_of("load", folder, out=tmp_path / "warehouse")
        actions = {Path(item["path"]).name: item["why"] for item in report["inputs"]}
        assert actions["notes.txt"] == actions["logo.png"] == "it is in no known format"
        assert told.count("left out") == 1
    assert run("load", folder, "--into", tmp_path / "warehouse", "--dry-run").stdout.count(b"in no known format") == 2
    loads = json.loads(run("loads", "list", "--into", tmp_path / "warehouse", "--json").stdout)
    assert sorted(Path(row["source"]).name for row in loads) == ["a.log", "b.log"]


@pytest.mark.parametrize(
    ("names", "is_read"),
    [
        (["notes.txt"], False),
        (["a.log", "notes.txt"], False),
        (["a.log", "b.log", "notes.txt"], True),  # as a shell's glob names them
        (["a.log", "b.log", "notes.txt", "logo.png"], False),
        (["*.*"], True),
        ([".", "notes.txt"], False),
        (["notes.txt", "."], False),
    ],
)
def test_a_named_file_fails_unless_most_named_files_are_read(
    names: list[str], is_read: bool, folder: Path, tmp_path: Path
) -> None:
    finished = run("run", *names, "--out", tmp_path / "out", "-q", code=None, cwd=folder)
    assert finished.returncode == (0 if is_read else 2), finished.stderr.decode()
    assert run("run", *names, "--out", tmp_path / "all", "--unknown", "fail", code=2, cwd=folder)


def test_skip_leaves_out_a_named_file_but_not_all_files(folder: Path, tmp_path: Path) -> None:
    skip = ("--unknown", "skip")
    summary, told = summary_of("run", folder / "a.log", folder / "notes.txt", *skip, out=tmp_path / "out")
    assert (summary["conversions"], "1 input in no known format is left out" in told) == (1, True)
    for unknown in ((folder / "notes.txt",), (folder / "notes.txt", folder / "logo.png")):
        assert_refused(run("run", *unknown, "--out", tmp_path / "new", *skip, code=2), "no known format")
    (folder / "a.log").unlink()
    (folder / "b.log").unlink()
    assert_refused(run("run", folder, "--out", tmp_path / "new", code=2), "2 inputs are in no known format")


def test_archives_hold_what_is_found(folder: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "logs.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    summary, told = summary_of("run", tmp_path / "logs.zip", out=tmp_path / "out")
    assert (summary["conversions"], told.count("logs.zip/notes.txt")) == (2, 1)


def test_inspect_lists_what_is_no_log_together(folder: Path) -> None:
    finished = run("inspect", folder)
    assert finished.stderr.count(b"left out") == 1
    assert b"problem" not in finished.stdout
    assert run("inspect", folder, "--unknown", "fail", code=2).stderr.startswith(b"error: 2 inputs are in no known")
    assert [one.get("format") for one in json.loads(run("inspect", folder, "--json").stdout)] == [
        "combined",
        "combined",
        None,
        None,
    ]


OTHER = LINE.format("click_id=a").replace("/acme/collect/shop", "/track/pb")
ROUTINE = LINE.format("v=1").replace("/acme/collect/shop", "/app.js")

#: Lines of an input, and what is said of it.
QUIET = {
    "no postback": (
        OTHER * 3 + ROUTINE,
        (
            "holds no postback: no request to /{account}/collect/{integration}. The commonest paths with a query are"
            " /track/pb, /app.js. Name another path by --collect-path /track/pb; it may leave out {account} and"
            " {integration}."
        ),
    ),
    "one reason": (LINE.format("value=1") * 3, ": all 3 postbacks are rejected for one reason, missing_identity."),
    "no time": (
        '{"click_id": "a"}\n{"click_id": "b"}\n',
        ": no postback has a time, so received_at is null; name it by --columns received_at=NAME.",
    ),
}


@pytest.mark.parametrize("command", ["run", "load", "backfill", "inspect"])
@pytest.mark.parametrize("kind", QUIET)
def test_a_quiet_input_is_warned_of(command: str, kind: str, tmp_path: Path) -> None:
    text, said = QUIET[kind]
    log = tmp_path / "2024-05-01.log"
    log.write_text(text, encoding="utf-8")
    arguments: dict[str, tuple[object, ...]] = {
        "run": (log, "--out", tmp_path / "out", "-q"),
        "load": (log, "--into", tmp_path / "warehouse", "-q"),
        "backfill": (
            *(tmp_path / "{date:%Y-%m-%d}.log", "--into", tmp_path / "warehouse"),
            *("--from", "2024-05-01", "--to", "2024-05-01"),
        ),
        "inspect": (log, "--json"),
    }
    finished = run(command, *arguments[command])
    if command == "inspect":
        assert json.loads(finished.stdout)[0]["warnings"] == [f"{log}{said if said[0] == ':' else ' ' + said}"]
        assert b"warning" in run("inspect", log).stdout
        return
    told = finished.stderr.decode()
    assert told.count("warning:") == 1, told
    assert said in told


@pytest.mark.parametrize("command", ["run", "load"])
def test_what_is_true_of_many_inputs_is_said_of_three(command: str, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jsonl").write_text(f'{{"click_id": "{number}"}}\n', encoding="utf-8")
        (tmp_path / f"{number}.log").write_text(ROUTINE.replace("v=1", f"v={number}"), encoding="utf-8")
    (tmp_path / "4.log").unlink()
    place = {"run": "--out", "load": "--into"}[command]
    told = run(command, tmp_path / "*.*", place, tmp_path / "out" / "tables", "-q").stderr.decode()
    assert told.count("no postback has a time") == told.count("holds no postback") == 3
    assert told.count("warning: ") == 8
    assert "warning: 2 more inputs have no postback with a time.\n" in told
    assert "warning: 1 more input has no postback.\n" in told


@pytest.mark.parametrize("text", ["", LINE.format("click_id=a"), LINE.format("click_id=a") + LINE.format("x=1")])
def test_other_inputs_are_not_warned_of(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(text, encoding="utf-8")
    assert run("run", tmp_path / "a.log", "--out", tmp_path / "out", "-q").stderr == b""
    assert run("load", tmp_path / "a.log", "--into", tmp_path / "warehouse", "-q").stderr == b""


def test_a_path_with_an_address_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(OTHER.replace("/track", "/jane@example.com") * 2, encoding="utf-8")
    told = run("run", tmp_path / "a.log", "--out", tmp_path / "out", "-q").stderr
    assert b"holds no postback" in told
    assert b"jane@" not in told


# --- unread postbacks -------------------------------------------------------------------------------------------

UNREAD = '@ 192.0.2.1 (GET) to "/acme/collect/shop" with click_id=a\n'


@pytest.mark.parametrize(
    ("command", "read", "limit", "code"),
    [
        ("run", 199, None, 0),
        ("run", 49, None, 3),
        ("run", 49, "2%", 0),
        ("run", 49, "1", 0),
        ("run", 49, "0", 3),
        ("load", 199, None, 3),
        ("load", 199, "1%", 0),
        ("load", 199, "1", 0),
    ],
)
def test_more_unread_postbacks_than_allowed_end_with_exit_3(
    command: str, read: int, limit: str | None, code: int, tmp_path: Path
) -> None:
    log = tmp_path / "a.log"
    log.write_text(LINE.format("click_id=a") * read + UNREAD, encoding="utf-8")
    options = () if limit is None else ("--max-unread", limit)
    summary, told = summary_of(command, log, *options, out=tmp_path / "out", code=code)
    assert summary["inputs"][0]["unread_postbacks"] == 1
    assert f"1 of {read + 1} records hold the collect path" in told
    assert ("allows fewer unread postbacks" in told) is (code == 3)


def test_unread_postbacks_of_many_inputs_are_said_of_three(tmp_path: Path) -> None:
    for number in range(5):
        text = LINE.format(f"click_id={number}") * 3 + UNREAD
        (tmp_path / f"{number}.log").write_text(text, encoding="utf-8")
    _, told = summary_of("run", tmp_path, out=tmp_path / "out" / "tables", code=3)
    assert told.count("hold the collect path") == 3
    assert "warning: 2 more inputs have such records.\n" in told


def test_the_limit_counts_by_input(tmp_path: Path) -> None:
    """A long log does not make up for a short one in which nothing was read."""
    (tmp_path / "long.log").write_text(LINE.format("click_id=a") * 500, encoding="utf-8")
    (tmp_path / "short.log").write_text(LINE.format("click_id=a") * 20 + UNREAD, encoding="utf-8")
    _, told = summary_of("run", tmp_path / "long.log", tmp_path / "short.log", out=tmp_path / "out", code=3)
    assert "short.log: 1 of 21" in told
