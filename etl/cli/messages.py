"""What goes to standard error: text for people; for programs, if they ask, one JSON object a line and nothing else.

`--events json` asks for it. So does `--log-format json`, since no format of an access log is called so.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any, Final

from etl.errors import EtlError, UsageError, masked, visible

JSON: Final = "json"
_DEFECT: Final = "This is a defect: report it with the traceback."
_JSON_OPTIONS: Final = ("--events", "--log-format")
_SLOW: Final = (
    "the loops over bytes run as plain Python, many times slower, because they were not compiled when postback-etl "
    "was installed. Install a C compiler and Python's headers, then install postback-etl again."
)


@dataclass
class Mode:
    """How this process writes messages; `main` sets it once, before the arguments are parsed.

    Attributes:
        is_json: One JSON object a line for programs, instead of text for people.
        is_debug: Errors show their traceback.
        typed: The flags among the arguments.
        origins: Where options stand that are not on the command line: by flag, the file or the environment variable.
    """

    is_json: bool = False
    is_debug: bool = False
    typed: Collection[str] = ()
    origins: Mapping[str, str] = field(default_factory=dict)


MODE: Final = Mode()


def set_mode(arguments: Sequence[str]) -> None:
    """Sets the mode that arguments ask for. The arguments are not parsed yet: an error in them is a message too."""
    words = list(arguments)
    words = words[: words.index("--")] if "--" in words else words
    joined = {f"{name}={JSON}" for name in _JSON_OPTIONS}
    MODE.is_json = any(name in _JSON_OPTIONS and value == JSON for name, value in pairwise(words)) or bool(
        joined & {*words}
    )
    MODE.is_debug = "--debug" in words
    MODE.typed = {word.partition("=")[0] for word in words if word.startswith("-")}
    MODE.origins = {}


def take_over(origins: Mapping[str, str], *, events: Collection[str], is_debug: bool) -> None:
    """Takes over what stands outside of the arguments: where options stand, who reads the messages, and --debug."""
    MODE.origins = {flag: origin for flag, origin in origins.items() if flag not in MODE.typed}
    MODE.is_json |= JSON in events and "--events" not in MODE.typed
    MODE.is_debug |= is_debug


def say_origins() -> None:
    """Says which options count that are not on the command line: a file far above the folder is easily forgotten."""
    by_place: dict[str, list[str]] = {}
    for flag, origin in MODE.origins.items():
        by_place.setdefault(origin.partition(",")[0], []).append(flag)
    for place, flags in by_place.items():
        say("options", f"options from {place}: {', '.join(flags)}", source=place, options=flags)


def say(event: str, *lines: str, level: str = "info", **fields: Any) -> None:
    """Writes one message to standard error: for people the lines, if any; for programs the event and its fields."""
    if MODE.is_json:
        from etl.cli.terminal import json_text

        safe = {name: _safe(value) if isinstance(value, str) else value for name, value in fields.items()}
        lines = (json_text({"ts": datetime.now(UTC), "level": level, "event": event, **safe}),)
    width = None if MODE.is_json else _width()
    for line in lines:
        for part in folded(visible(line), width):
            sys.stderr.write(f"{part}\n")
    sys.stderr.flush()


def _width() -> int | None:
    """Returns the width of the terminal at standard error; None if there is none: programs read whole lines."""
    try:
        return shutil.get_terminal_size().columns if sys.stderr.isatty() else None
    except ValueError:  # closed
        return None


_COMMAND: Final = re.compile(r" *(?:next: )?postback-etl ")

#: The space before a count in a list, such as `null_word 15, not_scalar 6`.
_COUNT: Final = re.compile(r" (?=[0-9][0-9,.]*(?:, |$))")
_LABEL: Final = re.compile(r"(?:error|warning): | *")


def folded(line: str, width: int | None) -> list[str]:
    """Folds a line at words, under its label or two columns further. Longer words and commands to copy stay whole.

    Examples:
        >>> folded("warning: 3 inputs are left out", 24)
        ['warning: 3 inputs are', '         left out']
    """
    if width is None or len(line) <= width or _COMMAND.match(line):
        return [line]
    label = _LABEL.match(line)
    indent = len(label[0]) + (0 if label[0].strip() else 2) if label else 0
    fit = textwrap.TextWrapper(
        width,
        subsequent_indent=" " * min(indent, width // 2),
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [part.replace("\0", " ") for part in fit.wrap(_COUNT.sub("\0", line))]


def _safe(text: str) -> str:
    """Removes credentials from a text, and escapes bytes of file names that are not valid text."""
    return masked(text).encode(errors="backslashreplace").decode()


def warn(message: str, **fields: Any) -> None:
    """Writes a warning; the command goes on."""
    say("warning", f"warning: {masked(message)}", level="warning", message=message, **fields)


@cache
def warn_if_slow() -> None:
    """Warns, once a process, if the loops over bytes run as plain Python."""
    from etl.columnar.compilation import are_loops_compiled

    if not are_loops_compiled():
        warn(_SLOW)


def fail(error: Exception) -> int:
    """Reports why a command failed and what to do; adds the traceback with --debug, and if the error is a defect.

    Returns:
        The exit code.
    """
    if hasattr(error, "format_message") and not MODE.is_json:
        return _show_usage(error)
    failure = _as_etl_error(error)
    hint = failure.hint + (_origin(failure.problem) if isinstance(failure, UsageError) else "")
    known = {"error": failure.problem, "hint": hint, "exit_code": failure.exit_code}
    lines: Sequence[str] = [f"error: {failure.problem}", f"       {hint}"]
    if MODE.is_debug or failure.hint == _DEFECT:
        trace = masked("".join(traceback.format_exception(error)).rstrip())
        known, lines = {**known, "traceback": trace}, trace.split("\n")
    say("failed", *lines, level="error", **known)
    return failure.exit_code


def _show_usage(error: Any) -> int:
    """Shows an error of the parser with the usage of the command; an argument in it may be a file or an address."""
    from typer.rich_utils import rich_format_error

    error.message = visible(masked(error.message + _origin(error.format_message())))
    rich_format_error(error)
    return int(error.exit_code)


def _origin(problem: str) -> str:
    """Says where the options stand that an error names, if that is not the command line."""
    named = [flag for flag in MODE.origins if re.search(rf"{flag}(?![\w-])", problem)]
    return "".join(f" {flag} comes from {MODE.origins[flag]}." for flag in named)


def _as_etl_error(error: Exception) -> EtlError:
    """Converts any error to an `EtlError`: errors of the parser to wrong usage, unexpected errors to a defect."""
    if isinstance(error, EtlError):
        return error
    if hasattr(error, "format_message"):
        return UsageError(error.format_message(), "See --help.")
    return EtlError(f"{type(error).__name__}: {error}", _DEFECT)
