"""Writes the manual page of the command from its help: `man/postback-etl.1`, which an installation brings along."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "man" / "postback-etl.1"

_CONFIGURATION = """\
Every option may also stand in a file postback-etl.toml, which is found from the working directory upward, or in the \
environment: the variable of --default-currency is POSTBACK_ETL_DEFAULT_CURRENCY, and that of --out of run alone \
POSTBACK_ETL_RUN_OUT. The command line comes first, then the environment, then the file. \
"postback-etl config" shows what counts."""


def man_page() -> str:
    """The page, in the language of `man`."""
    from etl.cli import app

    group = typer.main.get_command(app)
    lines = [
        f'.TH POSTBACK-ETL 1 "" "postback-etl {version("postback-etl")}" "User Commands"',
        *(".SH NAME", "postback-etl \\- " + _escaped(_first_line(group))),
        *(".SH SYNOPSIS", ".B postback-etl", "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]..."),
        *(".SH OPTIONS", *_options(group, "postback-etl")),
        *(".SH COMMANDS", *_commands(group, "")),
        *(".SH CONFIGURATION", _escaped(_CONFIGURATION)),
        *(".SH EXIT STATUS", *_exit_codes()),
    ]
    return "\n".join(lines) + "\n"


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path}{name} ")
            continue
        context = command.make_context(f"postback-etl {path}{name}", [], resilient_parsing=True)
        yield f'.SS "{path}{name} {_escaped(" ".join(command.collect_usage_pieces(context)))}"'
        for number, paragraph in enumerate(inspect.cleandoc(command.help or "").split("\n\n")):
            yield from ([".PP"] if number else [])
            yield _escaped(" ".join(paragraph.split()))
        yield from _options(command, f"postback-etl {path}{name}")


def _options(command: Any, name: str) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    for option in command.params:
        if record := option.get_help_record(context):
            yield from (".TP", f"\\fB{_escaped(record[0])}\\fR", _escaped(record[1]) or "\\&")


def _exit_codes() -> Iterator[str]:
    """The exit codes, as the reference of the commands lists them."""
    text = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    for code, meaning in re.findall(r"^\| ([0-9]) \| (.*) \|$", text, re.MULTILINE):
        yield from (".TP", f"\\fB{code}\\fR", _escaped(meaning.replace("`", "")))


def _first_line(command: Any) -> str:
    return str(command.help).partition("\n")[0].rstrip(".")


def _escaped(text: str) -> str:
    r"""Escapes what `man` would take for a command: backslashes, hyphens, and a dot or quote that begins a line."""
    text = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
