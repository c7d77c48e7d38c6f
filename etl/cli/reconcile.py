"""The command `reconcile`: compares tables with the export of a network or ad platform."""

from __future__ import annotations

import enum
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from etl.cli import messages, options

if TYPE_CHECKING:
    from datetime import timedelta
    from decimal import Decimal

    import polars as pl

    from etl.reports.reconcile.reconciliation import Reconciliation


#: The tables of differences that a terminal shows: side, title, columns; --unmatched and --json have all columns.
_SHOWN: Final = (
    (
        "both",
        "Pairs that differ",
        ("cause", "row_no", "their_transaction_id", "their_value", "our_value", "their_currency", "our_currency"),
    ),
    (
        "theirs",
        "Theirs without one of ours",
        ("cause", "row_no", "their_transaction_id", "their_value", "their_currency", "their_at", "their_click_id"),
    ),
    (
        "ours",
        "Ours without one of theirs",
        ("cause", "our_transaction_id", "our_value", "our_currency", "our_at", "our_match_key"),
    ),
)


class OurTime(enum.StrEnum):
    """Which of our times is compared."""

    OCCURRED_AT = "occurred_at"
    RECEIVED_AT = "received_at"


def reconcile(
    store: options.Store,
    export: Annotated[
        Path | None, typer.Argument(metavar="EXPORT", help="Their export: CSV, Parquet or JSON lines.")
    ] = None,
    against: Annotated[Path | None, typer.Option(metavar="FILE", help="The export, as an option.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(metavar="ROLE=NAME", help="Their column, such as time=Date; repeatable.")
    ] = None,
    time_format: Annotated[
        str | None, typer.Option(metavar="LAYOUT", help="Format of their times, such as '%d.%m.%Y %H:%M'.")
    ] = None,
    their_timezone: Annotated[
        str, typer.Option(metavar="ZONE", help="Time zone of their times without a zone.")
    ] = "UTC",
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone of days.")] = "UTC",
    currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="Currency of their values, if no column has it.")
    ] = None,
    account: Annotated[str | None, typer.Option(metavar="ID", help="Compare only this account.")] = None,
    integration: Annotated[str | None, typer.Option(metavar="SLUG", help="Compare only this integration.")] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Compare only this event, such as Purchase; repeatable."),
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="Compare only days from this day on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Compare only days before this day.")] = None,
    our_time: Annotated[OurTime, typer.Option(help="Which of our times to compare.")] = OurTime.OCCURRED_AT,
    value_tolerance: Annotated[
        str, typer.Option(metavar="AMOUNT", help="Largest difference of equal amounts.")
    ] = "0.01",
    time_tolerance: Annotated[
        str, typer.Option(metavar="TIME", help="Largest time between matches without an id: 90s, 10m, 2h.")
    ] = "10m",
    max_gap: Annotated[
        str | None, typer.Option(metavar="P%", help="Exit 3 if a total differs by more than this.")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, metavar="N", help="Show at most N rows of a table; 0 shows all.")] = 31,
    json: Annotated[bool, typer.Option("--json", help="Write all rows as JSON instead of tables.")] = False,
    unmatched: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the differences and their causes as Parquet."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Write nothing to standard output.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Compare tables with the export of a network or an ad platform."""
    from etl.cli.terminal import write_json
    from etl.reports.reconcile.matching import Tolerance
    from etl.reports.reconcile.reconciliation import ReconcileRequest, as_json
    from etl.reports.reconcile.reconciliation import reconcile as compare

    allowed_gap = _read_gap(max_gap)
    request = ReconcileRequest(
        store=store,
        against=_read_export(export, against),
        columns=options.read_columns(columns),
        zone=timezone,
        their_zone=their_timezone,
        layout=time_format,
        currency=options.read_currency(currency),
        account=account,
        integration=integration,
        events=tuple(event or ()),
        since=options.read_day("--since", since) if since else None,
        until=options.read_day("--until", until) if until else None,
        our_time=our_time.value,
        tolerance=Tolerance(_read_tolerance(value_tolerance), _read_duration(time_tolerance)),
    )
    outcome = compare(request)
    if unmatched is not None:
        _write_differences(outcome.differences, unmatched)
    if json and not quiet:
        write_json(as_json(outcome))
    elif not quiet:
        print_outcome(outcome, rows)
    if allowed_gap is not None and outcome.exceeds(allowed_gap):
        messages.warn(f"the sides differ by more than --max-gap {max_gap} allows.")
        raise typer.Exit(3)


def print_outcome(outcome: Reconciliation, rows: int) -> None:
    """Prints a comparison: its sentences, totals, days, and the differences with their causes."""
    import polars as pl

    from etl.cli.terminal import print_frame, shown, table_console
    from etl.reports.reconcile.reconciliation import summarise

    out = table_console()
    roles = ", ".join(f"{role}={name}" for role, name in outcome.columns.items())
    out.print(shown(f"columns: {roles}", "dim"))
    for note in outcome.notes:
        out.print(shown(f"note: {note}", "yellow"))
    for sentence in summarise(outcome):
        out.print(shown(sentence, "bold"))
    print_frame(out, "Conversions", outcome.counts, 0)
    print_frame(out, "Money", outcome.totals, 0)
    if outcome.events["event"].n_unique() > 1:
        print_frame(out, "Our money by event", outcome.events, rows)
    print_frame(out, "Conversions by day", outcome.days, rows)
    print_frame(out, "Money by day", outcome.money, rows)
    print_frame(out, "Matched by", outcome.matched, 0)
    print_frame(out, "Differences by cause", outcome.causes, rows)
    for side, title, columns in _SHOWN:
        apart = outcome.differences.filter(pl.col("side") == side)
        named = {name: name.removeprefix("their_").removeprefix("our_") for name in columns if side != "both"}
        print_frame(out, title, apart.select(*columns, "detail").rename(named), min(rows, 10))


def _write_differences(rows: pl.DataFrame, path: Path) -> None:
    """Writes the differences as Parquet, by atomic replacement of the file."""
    from etl.errors import OutputError
    from etl.runner.parquet import write_table

    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_table(rows, staged)
        staged.replace(path)
    except (OSError, OutputError) as error:
        staged.unlink(missing_ok=True)
        raise OutputError(f"--unmatched {str(path)!r} cannot be written.", "Name another file.") from error


def _read_export(export: Path | None, against: Path | None) -> Path:
    """Returns the export, which is named once."""
    from etl.errors import UsageError

    named = [path for path in (export, against) if path is not None]
    if len(named) != 1:
        raise UsageError("reconcile compares with one export.", "Name it once: postback-etl reconcile STORE EXPORT.")
    return named[0]


def _read_gap(text: str | None) -> float | None:
    """Reads a share in percent, from 0."""
    from etl.errors import UsageError

    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)%", text.strip())
    if not match:
        raise UsageError(f"--max-gap {text!r} is not a share.", "Give a share such as 2% or 0.5%.")
    return float(match[1]) / 100


def _read_tolerance(text: str) -> Decimal:
    """Reads an amount that is not negative."""
    from etl.errors import UsageError
    from etl.rules.value_parsing import read_amount

    amount = read_amount(text)
    if amount is None or amount < 0:
        raise UsageError(f"--value-tolerance {text!r} is not an amount.", "Give an amount such as 0.01.")
    return amount


def _read_duration(text: str) -> timedelta:
    """Reads a duration such as `90s`, `10m` or `2h`."""
    from datetime import timedelta

    from etl.errors import UsageError

    match = re.fullmatch(r"([0-9]{1,6})(s|m|h)", text.strip())
    if not match:
        raise UsageError(f"--time-tolerance {text!r} is not a duration.", "Give a duration such as 90s, 10m or 2h.")
    return timedelta(seconds=int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]])
