"""Makes the flags of commands from the table `etl.options`, and reads their texts."""

from __future__ import annotations

import enum
import inspect
import os
import re
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from etl.cli.messages import JSON
from etl.options import FLAGS, RunOptions, instant_of

if TYPE_CHECKING:
    from etl.rules.ruleset import Ruleset
    from etl.runner.stage_inputs import RunRequest


class EventsMode(enum.StrEnum):
    """Who reads standard error: people, or programs."""

    TEXT = "text"
    JSON = "json"


class PiiMode(enum.StrEnum):
    """What happens to personal values."""

    HASH = "hash"
    KEEP = "keep"
    DROP = "drop"


class UnknownMode(enum.StrEnum):
    """What happens if an input is in no known format."""

    SKIP = "skip"
    FAIL = "fail"


#: The options of reading inputs, in the order of the help.
READING: Final = ("format", "log_format", "timezone", "collect_path", "columns", "formats")

#: The options of a run, a load and a backfill.
RUN: Final = tuple(FLAGS)

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files, folders, globs, s3:// addresses, or -.")]
Store = Annotated[
    str, typer.Argument(metavar="STORE", help="A folder that run or export wrote, or a folder or s3:// of a warehouse.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary on the terminal.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Events = Annotated[
    EventsMode, typer.Option("--events", help="Standard error for people, or a JSON object a line for programs.")
]
Metrics = Annotated[
    Path | None, typer.Option("--metrics", metavar="FILE", help="Write metrics of this run for Prometheus.")
]
OpenLineage = Annotated[
    str | None, typer.Option("--openlineage", metavar="URL|FILE", help="Send OpenLineage events there.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


class Typed(NamedTuple):
    """The options of a command as the user typed them, by field of `RunOptions`, before any check."""

    texts: dict[str, Any]

    def parsed(self) -> RunOptions:
        """Reads and checks the options; an option that the command does not take has its default.

        Raises:
            UsageError: The text of an option cannot be read.
            RulesetError: There is no ruleset of that name, or it is not valid.
        """
        given = {name: READERS[name](text) if name in READERS else text for name, text in self.texts.items()}
        return RunOptions(**{name: value for name, value in given.items() if value is not None})

    def request(self, inputs: list[str], out: Path | str) -> RunRequest:
        """Returns the request of a run over the inputs, in processes of this machine.

        Raises:
            EtlError: As `parsed`; also if the file of formats is not valid, or a zone or role is unknown.
        """
        from etl.engines.local_pool import workers
        from etl.runner.stage_inputs import run_request
        from etl.sources.storage.store_paths import folder_of

        folder = folder_of(out)
        at = Path(os.path.abspath(folder)) if isinstance(folder, Path) else folder
        return run_request(inputs, at, self.parsed(), workers)


def with_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replaces a command's parameter `typed` by one flag for each named field of `RunOptions`."""

    def expanded(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        parameters = [
            flag.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in signature.parameters.values()
            for flag in (map(_flag, names) if parameter.name == "typed" else [parameter])
        ]

        def called(**arguments: Any) -> None:
            texts = {name: arguments.pop(name) for name in names}
            command(typed=Typed(texts), **arguments)

        called.__name__, called.__doc__, called.__module__ = command.__name__, command.__doc__, command.__module__
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return called

    return expanded


def _flag(name: str) -> inspect.Parameter:
    """Returns the typer parameter of a field of `RunOptions`."""
    flag = FLAGS[name]
    least = 1 if flag.kind == "count" else None
    annotation: Any = Annotated[
        _TYPES[flag.kind], typer.Option(flag.name, metavar=flag.metavar, help=flag.help, min=least)
    ]
    default = PiiMode(flag.default) if flag.kind == "pii" else flag.default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_TYPES: Final[dict[str, Any]] = {
    "text": str | None,
    "texts": list[str] | None,
    "path": Path | None,
    "count": int | None,
    "pii": PiiMode,
    "unknown": UnknownMode | None,
}


#: The comma before a role and its name.
_BEFORE_ROLE: Final = re.compile(r",(?=\s*\w+=)")


def read_ruleset(text: str | None) -> Ruleset:
    """Returns the ruleset of a name or file; without a name, the endpoint's page.

    Raises:
        RulesetError: There is none of that name.
    """
    from etl.rules.ruleset import Ruleset
    from etl.rules.vendors import find_ruleset

    return find_ruleset(text) if text is not None else Ruleset()


def read_currency(code: str | None) -> str | None:
    """Returns a currency code in upper case."""
    from etl.errors import UsageError

    if code is not None and not re.fullmatch("[A-Za-z]{3}", code):
        raise UsageError(f"--default-currency {code!r} is not three letters.", "Give a code such as EUR.")
    return code.upper() if code else None


def read_day(option: str, text: str) -> date:
    """Returns the day that the text of an option names."""
    from etl.errors import UsageError

    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is not a day.", "Give one such as 2024-05-01.") from error


def read_statuses(text: str | None) -> tuple[range, ...]:
    """Returns the statuses of a list of codes and classes, such as `2xx,304`."""
    from etl.errors import UsageError

    spans = []
    for part in (text or "").split(","):
        word = part.strip().lower()
        if re.fullmatch("[1-5]xx", word):
            spans.append(range(int(word[0]) * 100, int(word[0]) * 100 + 100))
        elif re.fullmatch("[0-9]{3}", word):
            spans.append(range(int(word), int(word) + 1))
        elif text:
            raise UsageError(f"--status {text!r} is not a list of statuses.", "Give codes or classes, such as 2xx,304.")
    return tuple(spans)


def read_columns(texts: Sequence[str] | None) -> dict[str, str]:
    """Returns role -> name of texts such as `received_at=created,payload=body`. A name may contain commas.

    Examples:
        >>> read_columns(["payload=body,received_at=Time:%b %d, %Y", "query=a"])
        {'payload': 'body', 'received_at': 'Time:%b %d, %Y', 'query': 'a'}
    """
    from etl.errors import UsageError

    found = {}
    for text in texts or ():
        for part in _BEFORE_ROLE.split(text):
            role, mark, name = part.partition("=")
            if not mark or not name.strip():
                raise UsageError(
                    f"--columns {text!r} is not a list of role=name.", "Give payload=body; repeat it for more."
                )
            found[role.strip()] = name.strip()
    return found


def read_share(text: str | None, option: str = "--min-matched") -> float | None:
    """Returns a share from 0 to 1; the text may be a fraction or a percentage."""
    from etl.errors import UsageError

    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(%?)", text.strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else 2.0
    if not 0 <= share <= 1:
        raise UsageError(f"{option} {text!r} is not a share.", "Give 90% or 0.9.")
    return share


def warn_of_memory(outcome: dict[str, Any], max_memory: int | None) -> None:
    """Warns if the work took more memory than it was to take: the estimate of what a process needs was too low."""
    from etl.cli import messages
    from etl.runner.disk_space import as_size

    taken = outcome.get("peak_memory_bytes", 0)
    if max_memory is not None and taken > max_memory:
        messages.warn(f"The work took up to {as_size(taken)} of memory, more than --max-memory: use fewer --jobs.")


def read_size(text: str) -> int:
    """Returns the bytes of a size such as `4MB`."""
    from etl.errors import UsageError

    size = _bytes_of(text)
    if not 1024 <= size <= 2**30:
        raise UsageError(f"--max-record {text!r} is not a size from 1KB to 1GB.", "Give a size such as 4MB.")
    return size


def read_memory(text: str | None) -> int | None:
    """Returns the bytes of a size that a process can work in, such as `2GB`."""
    from etl.errors import UsageError
    from etl.runner.stage_inputs import PROCESS_BYTES

    size = None if text is None else _bytes_of(text)
    if size is not None and size < PROCESS_BYTES:
        raise UsageError(
            f"--max-memory {text!r} is not a size from {PROCESS_BYTES // 2**20}MB on: one process needs that.",
            "Give a size such as 2GB.",
        )
    return size


def _bytes_of(text: str) -> int:
    """Returns the bytes of a size; 0 if the text is none."""
    match = re.fullmatch(r"([0-9]+)\s*(|k|m|g|t)(i?b)?", text.strip().lower())
    return int(match[1]) * 1024 ** " kmgt".index(match[2] or " ") if match else 0


#: The reader of each option's text, by field of `RunOptions`. Options without a reader are used as typed.
READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "log_format": lambda text: None if text == JSON else text,  # `--log-format json` asks for events, see `messages`
    "columns": read_columns,
    "formats": lambda path: path and str(path),
    "default_currency": read_currency,
    "pii": lambda mode: mode.value,
    "since": partial(instant_of, "--since"),
    "until": partial(instant_of, "--until"),
    "statuses": read_statuses,
    "ruleset": read_ruleset,
    "unknown": lambda mode: mode and mode.value,
    "min_matched": read_share,
    "max_record_bytes": read_size,
    "jobs": lambda count: count or os.cpu_count() or 1,
    "tmp": lambda path: path and str(path),
    "max_memory": read_memory,
}
