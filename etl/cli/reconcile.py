"""`reconcile`: the tables of a run against another's export."""

from __future__ import annotations

import enum
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from datetime import timedelta
    from decimal import Decimal

    import polars as pl

    from etl.reports.reconcile.reconciliation import Reconciliation


#: What a terminal shows of a row that does not agree; --unmatched and --json hold all of it.
_SHOWN: Final = ("cause", "detail", "row_no", "their_transaction_id", "our_transaction_id", "their_value", "our_value")


class OurTime(enum.StrEnum):
    """Which of our times counts."""

    OCCURRED_AT = "occurred_at"
    RECEIVED_AT = "received_at"


def reconcile(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the four tables that run wrote.")],
    against: Annotated[Path, typer.Option(metavar="FILE", help="Their export: CSV, Parquet or JSON lines.")],
    columns: Annotated[
        str | None, typer.Option(metavar="ROLE=NAME,...", help="Their columns, such as time=Date.")
    ] = None,
    time_format: Annotated[
        str | None, typer.Option(metavar="LAYOUT", help="How their times are written, such as '%d.%m.%Y %H:%M'.")
    ] = None,
    their_timezone: Annotated[str, typer.Option(metavar="ZONE", help="Zone of their times that say none.")] = "UTC",
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Zone of days.")] = "UTC",
    currency: Annotated[str | None, typer.Option(metavar="CODE", help="Of their values, without a column.")] = None,
    account: Annotated[str | None, typer.Option(metavar="ID", help="Only this account of ours.")] = None,
    integration: Annotated[str | None, typer.Option(metavar="SLUG", help="Only this integration of ours.")] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this event of ours, such as Purchase; may be repeated."),
    ] = None,
    our_time: Annotated[OurTime, typer.Option(help="Which of our times counts.")] = OurTime.OCCURRED_AT,
    value_tolerance: Annotated[str, typer.Option(metavar="AMOUNT", help="Amounts so near are the same.")] = "0.01",
    time_tolerance: Annotated[
        str, typer.Option(metavar="TIME", help="How far apart two times without an id may be, such as 90s or 2h.")
    ] = "10m",
    max_gap: Annotated[str | None, typer.Option(metavar="P%", help="Exit 3 if a total differs by more.")] = None,
    rows: Annotated[int, typer.Option(min=0, metavar="N", help="Rows of a table on the terminal; 0 is all.")] = 31,
    json: Annotated[bool, typer.Option("--json", help="Every row as JSON, in place of tables.")] = False,
    unmatched: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the rows that do not agree as Parquet, with their causes."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on standard output.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Compare what a run wrote with the export of a network or an ad platform."""
    from etl.cli.options import read_columns, read_currency
    from etl.cli.terminal import print_json
    from etl.reports.reconcile.matching import Tolerance
    from etl.reports.reconcile.reconciliation import ReconcileRequest, as_json
    from etl.reports.reconcile.reconciliation import reconcile as compare

    allowed_gap = _read_gap(max_gap)
    request = ReconcileRequest(
        folder=folder,
        against=against,
        columns=read_columns(columns),
        zone=timezone,
        their_zone=their_timezone,
        layout=time_format,
        currency=read_currency(currency),
        account=account,
        integration=integration,
        events=tuple(event or ()),
        our_time=our_time.value,
        tolerance=Tolerance(_read_tolerance(value_tolerance), _read_duration(time_tolerance)),
    )
    outcome = compare(request)
    if unmatched is not None:
        _write_differences(outcome.differences, unmatched)
    if json and not quiet:
        print_json(as_json(outcome))
    elif not quiet:
        print_outcome(outcome, rows)
    if allowed_gap is not None and outcome.exceeds(allowed_gap):
        typer.echo(f"warning: the sides differ by more than --max-gap {max_gap} allows.", err=True)
        raise typer.Exit(3)


def print_outcome(outcome: Reconciliation, rows: int) -> None:
    """What came of it: sentences, totals, days, and why rows do not agree."""
    from rich.text import Text

    from etl.cli.terminal import print_frame, table_console
    from etl.errors import visible
    from etl.reports.reconcile.reconciliation import summarise

    out = table_console()
    shown = ", ".join(f"{role}={name}" for role, name in outcome.columns.items())
    out.print(Text(visible(f"columns: {shown}"), style="dim"))
    for note in outcome.notes:
        out.print(Text(visible(f"note: {note}"), style="yellow"))
    for sentence in summarise(outcome):
        out.print(Text(visible(sentence), style="bold"))
    print_frame(out, "Conversions", outcome.counts, 0)
    print_frame(out, "Money", outcome.totals, 0)
    print_frame(out, "Conversions by day", outcome.days, rows)
    print_frame(out, "Money by day", outcome.money, rows)
    print_frame(out, "Matched by", outcome.matched, 0)
    print_frame(out, "Rows that do not agree, by cause", outcome.causes, rows)
    print_frame(out, "Rows that do not agree", outcome.differences.select(_SHOWN), min(rows, 10))


def _write_differences(rows: pl.DataFrame, path: Path) -> None:
    from etl.errors import OutputError
    from etl.runner.parquet import write_table

    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_table(rows, staged)
        staged.replace(path)
    except (OSError, OutputError) as error:
        staged.unlink(missing_ok=True)
        raise OutputError(f"--unmatched {str(path)!r} cannot be written.", "Name another file.") from error


def _read_gap(text: str | None) -> float | None:
    from etl.errors import UsageError

    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)%", text.strip())
    if not match:
        raise UsageError(f"--max-gap {text!r} is no share.", "Give a share such as 2% or 0.5%.")
    return float(match[1]) / 100


def _read_tolerance(text: str) -> Decimal:
    from etl.errors import UsageError
    from etl.rules.value_parsing import read_amount

    amount = read_amount(text)
    if amount is None or amount < 0:
        raise UsageError(f"--value-tolerance {text!r} is no amount.", "Give an amount such as 0.01.")
    return amount


def _read_duration(text: str) -> timedelta:
    from datetime import timedelta

    from etl.errors import UsageError

    match = re.fullmatch(r"([0-9]{1,6})(s|m|h)", text.strip())
    if not match:
        raise UsageError(f"--time-tolerance {text!r} is no length of time.", "Give a length such as 90s, 10m or 2h.")
    return timedelta(seconds=int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]])
