"""Runs the commands that the pages show, and puts their real output under them.

A block of the language `console` holds commands and their output. A command begins with `$ ` and continues with `> `.
A block with a title, such as `toml title="house.toml"`, is written to that file first. The commands of a page run in
their order in one temporary folder, which also holds sample_data/, on a terminal of 80 columns.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BLOCK: Final = re.compile(
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)

#: What differs from run to run; a page keeps the old output where nothing else has changed.
VARYING: Final = re.compile(
    r"\d+(\.\d+)? s\b"  # durations
    r"|\d+(\.\d+)? MiB$"  # memory
    r"|\b[0-9a-f]{32}\b"  # ids of runs
    r"|\b20(2[5-9]|[3-9]\d)-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?",  # times of today
    re.MULTILINE,
)


def replay(text: str) -> str:
    """The page's text with the output of its commands made anew."""
    if not any(block["language"] == "console" for block in BLOCK.finditer(text)):
        return text
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sample_data").symlink_to(ROOT / "sample_data")
        environment = _environment(folder)
        return BLOCK.sub(lambda block: _replayed(block, folder, environment), text)


def _replayed(block: re.Match[str], folder: Path, environment: dict[str, str]) -> str:
    if block["title"]:
        (folder / block["title"]).write_text(block["text"], encoding="utf-8")
    if block["language"] != "console":
        return block[0]
    lines = []
    for command in re.findall(r"^\$ .*\n(?:^> .*\n)*", block["text"], re.MULTILINE):
        lines += [command, *_output(re.sub("^[$>] ", "", command, flags=re.MULTILINE), folder, environment)]
    made = "```console\n" + "".join(lines) + "```"
    return block[0] if VARYING.sub("…", made) == VARYING.sub("…", block[0]) else made


def _environment(folder: Path) -> dict[str, str]:
    """That of a terminal of 80 columns, where `postback-etl` and `python` are those of this checkout."""
    programs = folder / ".bin"
    programs.mkdir()
    for name, arguments in (("postback-etl", "-m etl"), ("python", "")):
        script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n'
        (programs / name).write_text(script, encoding="utf-8")
        (programs / name).chmod(0o755)
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    settings = {"TERM": "dumb", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    return {**kept, **settings, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def _output(command: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """The lines that a command writes to its terminal, output and errors as they come."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (50, 80))
    process = subprocess.Popen(
        ["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment, cwd=folder
    )
    os.close(theirs)
    pieces = []
    while piece := _piece(ours):
        pieces.append(piece)
    os.close(ours)
    process.wait()
    text = b"".join(pieces).decode().replace(f"{folder}/", "")
    return [line.rstrip() + "\n" for line in text.expandtabs().strip("\r\n").splitlines()]


def _piece(terminal: int) -> bytes:
    """What comes next; nothing once the last program that held the terminal has ended."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""
