"""The command `postback-etl`: each module parses options, calls the library and prints; errors become text here."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Final

import typer

from etl.cli import messages
from etl.cli.audit import audit
from etl.cli.backfill import backfill
from etl.cli.explain import explain
from etl.cli.export import export
from etl.cli.inspect import inspect
from etl.cli.load import load
from etl.cli.loads import loads
from etl.cli.reconcile import reconcile
from etl.cli.replay import replay
from etl.cli.rules import rules
from etl.cli.run import run
from etl.cli.schema import schema
from etl.cli.terminal import write_line
from etl.cli.upkeep import compact, vacuum
from etl.cli.what_if import what_if
from etl.errors import InterruptedRunError

app = typer.Typer(
    name="postback-etl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(no_args_is_help=True)(run)
app.command(no_args_is_help=True)(explain)
app.command(no_args_is_help=True)(inspect)
app.command("what-if", no_args_is_help=True)(what_if)
app.command(no_args_is_help=True)(audit)
app.command(no_args_is_help=True)(reconcile)
app.command(no_args_is_help=True)(load)
app.command(no_args_is_help=True)(backfill)
app.command(no_args_is_help=True)(replay)
app.command(no_args_is_help=True)(export)
app.command(no_args_is_help=True)(compact)
app.command(no_args_is_help=True)(vacuum)
app.add_typer(loads, name="loads")
app.command()(rules)
app.command()(schema)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        write_line(f"postback-etl {version('postback-etl')}")
        raise typer.Exit


@app.callback()
def describe(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Turn conversion postbacks in access logs and webhook dumps into four Parquet tables."""


#: Allocations between two garbage collections: imports make many objects that stay.
_GARBAGE_THRESHOLD: Final = 1_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and ends the process with the contract's exit code.

    Args:
        arguments: Arguments of the command; None: the arguments of this process.
    """
    gc.set_threshold(_GARBAGE_THRESHOLD)
    arguments = sys.argv[1:] if arguments is None else arguments
    messages.set_mode(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    sys.unraisablehook = _report_unraisable
    warnings.showwarning = lambda message, *where: messages.warn(str(message))
    try:
        code = app(args=list(arguments), standalone_mode=False)
    except BrokenPipeError:
        sys.stderr.close()
        code = 1
    except Exception as error:  # every error is reported here, without credentials
        code = messages.fail(error)
    sys.exit(code)


def _report_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Hides follow-up errors after an interrupt, and a thread that the interrupt kept from starting.

    The first interrupt is reported.
    """
    is_thread = getattr(unraisable.object, "__func__", None) is threading.Thread._bootstrap  # type: ignore[attr-defined]
    if not is_thread and not isinstance(unraisable.exc_value, (InterruptedRunError, KeyboardInterrupt)):
        sys.__unraisablehook__(unraisable)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise InterruptedRunError
