"""The command `postback-etl`: each module parses options, calls the library and prints; errors become text here."""

from __future__ import annotations

import gc
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

import typer

from etl.cli import messages
from etl.cli.audit import audit
from etl.cli.backfill import backfill
from etl.cli.config import config
from etl.cli.configuration import CONFIG_HELP, ConfiguredGroup
from etl.cli.explain import explain
from etl.cli.export import export
from etl.cli.forget_person import forget_person
from etl.cli.inspect import inspect
from etl.cli.load import load
from etl.cli.loads import loads
from etl.cli.reconcile import reconcile
from etl.cli.replay import replay
from etl.cli.resend import resend
from etl.cli.rules import rules
from etl.cli.run import run
from etl.cli.schema import schema
from etl.cli.standard_streams import guard_standard_streams
from etl.cli.terminal import write_line
from etl.cli.upkeep import compact, vacuum
from etl.cli.what_if import what_if
from etl.errors import EtlError, InterruptedRunError

app = typer.Typer(
    name="postback-etl",
    cls=ConfiguredGroup,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(no_args_is_help=True)(run)
app.command(no_args_is_help=True)(explain)
app.command(no_args_is_help=True)(inspect)
app.command("what-if", no_args_is_help=True)(what_if)
app.command(no_args_is_help=True)(audit)
app.command(no_args_is_help=True)(reconcile)
app.command(no_args_is_help=True)(resend)
app.command(no_args_is_help=True)(load)
app.command(no_args_is_help=True)(backfill)
app.command(no_args_is_help=True)(replay)
app.command(no_args_is_help=True)(export)
app.command(no_args_is_help=True)(compact)
app.command(no_args_is_help=True)(vacuum)
app.command("forget-person", no_args_is_help=True)(forget_person)
app.add_typer(loads, name="loads")
app.command()(rules)
app.command()(schema)
app.command()(config)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        write_line(f"postback-etl {version('postback-etl')}")
        raise typer.Exit


#: A process with less address space is aborted while it imports polars and pyarrow, or soon after.
_LEAST_BYTES: Final = 10**9

#: Commands that import neither.
_LIGHT: Final = (None, "schema", "rules", "config")


def _require_address_space() -> None:
    """Checks that the limit of this process's address space leaves room to work.

    Raises:
        EtlError: It does not.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < _LEAST_BYTES:
        raise EtlError(
            f"This process may use {limit // 10**6:,} MB of address space, but needs {_LEAST_BYTES // 10**6:,} MB.",
            "Raise the limit (ulimit -v, or LimitAS= of a systemd unit), and run again.",
        )


@app.callback()
def describe(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help=CONFIG_HELP)] = None,
) -> None:
    """Turn conversion postbacks in access logs and webhook dumps into four Parquet tables."""
    if context.invoked_subcommand not in _LIGHT:
        _require_address_space()


#: Allocations between two garbage collections: imports make many objects that stay.
_GARBAGE_THRESHOLD: Final = 1_000_000

#: The signals that end a command, and the signals received so far.
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_signals: Final[list[int]] = []
_REPEAT_SECONDS: Final = 0.05


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and ends the process with the contract's exit code.

    Args:
        arguments: Arguments of the command; None: the arguments of this process.
    """
    gc.set_threshold(_GARBAGE_THRESHOLD)
    arguments = sys.argv[1:] if arguments is None else arguments
    guard_standard_streams()
    messages.set_mode(arguments)
    _signals.clear()
    for number in _ENDING:
        signal.signal(number, _interrupt)
    sys.unraisablehook = _report_unraisable
    warnings.showwarning = lambda message, *where: messages.warn(str(message))
    code = _exit_code(lambda: app(args=list(arguments), standalone_mode=False))
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)  # a signal after the end does not turn success into failure
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.exit(code or _exit_code(sys.stdout.flush))


def _exit_code(call: Callable[[], Any]) -> Any:
    """Makes a call; returns its exit code, and reports an error without credentials."""
    try:
        return call()
    except SystemExit as ended:
        return ended.code
    except BrokenPipeError:
        return 1
    except BaseException as error:
        if not isinstance(error, EtlError) and _signals:
            return messages.fail(InterruptedRunError())
        if not isinstance(error, Exception):
            raise
        return messages.fail(error)


def _report_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Hides follow-up errors after an interrupt, and a thread that the interrupt kept from starting.

    An interrupt that came where no error can be raised, such as while memory is freed, is repeated a moment later.
    """
    is_thread = getattr(unraisable.object, "__func__", None) is threading.Thread._bootstrap  # type: ignore[attr-defined]
    if isinstance(unraisable.exc_value, (InterruptedRunError, KeyboardInterrupt)):
        if signal.getsignal(signal.SIGTERM) is _interrupt and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, _interrupt)
            signal.setitimer(signal.ITIMER_REAL, _REPEAT_SECONDS)
    elif not is_thread:
        sys.__unraisablehook__(unraisable)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _signals.append(number)
    raise InterruptedRunError
