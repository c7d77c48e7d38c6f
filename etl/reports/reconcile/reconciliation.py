"""One reconciliation: reads both sides, matches them, compares the days, and says what does not agree and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import UsageError
from etl.reports.reconcile.causes import Sides, explain_differences
from etl.reports.reconcile.exports import Export, read_export
from etl.reports.reconcile.gaps import (
    Shift,
    compare_counts,
    compare_days,
    compare_money,
    find_shift,
    in_period,
    with_days,
)
from etl.reports.reconcile.matching import OURS, Tolerance, match
from etl.runner.published_tables import Published, open_published, read
from etl.schema import SUMMABLE
from etl.sources.settings import check_zone

#: Columns of ours that can be the time of a conversion.
OUR_TIMES: Final = ("occurred_at", "received_at")

#: Rows of ours so far outside their period can still be theirs: a day's edge, and a shift of time zones.
_MARGIN: Final = timedelta(days=2)


_FRAMES: Final = ("counts", "totals", "days", "money", "matched", "causes", "differences")


@dataclass(frozen=True)
class ReconcileRequest:
    """What to reconcile.

    Attributes:
        folder: Published tables.
        against: The export.
        columns: Role -> column of the export, where that is not to be guessed.
        zone: IANA name of the zone of days.
        their_zone: IANA name of the zone of their times that say none.
        layout: How their times are written, in strftime's words; None: any common way.
        currency: Of their values, where no column says it.
        account: Only this account of ours.
        integration: Only this integration of ours.
        events: Only these events of ours; none: all.
        our_time: `occurred_at` or `received_at`.
        tolerance: Amounts and times that count as the same.
    """

    folder: Path
    against: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    their_zone: str = "UTC"
    layout: str | None = None
    currency: str | None = None
    account: str | None = None
    integration: str | None = None
    events: tuple[str, ...] = ()
    our_time: str = "occurred_at"
    tolerance: Tolerance = Tolerance(Decimal("0.01"), timedelta(minutes=10))  # noqa: RUF009 - a tuple


class Reconciliation(NamedTuple):
    """What came of it.

    Attributes:
        columns: Role -> column of the export.
        first: The first day of the export, in the zone.
        last: The last one.
        notes: What was assumed, and what limits the comparison.
        counts: ours, theirs (conversions), gap (share of theirs), band: one row.
        totals: currency, ours, theirs (money), gap, band.
        days: day, ours, theirs, gap, band.
        money: day, currency, ours, theirs, gap, band.
        matched: by, rows.
        causes: side, cause, currency, rows, value.
        shift: How far their times are ahead, where that can be told.
        differences: Rows of `causes.DIFFERENCES`.
    """

    columns: dict[str, str]
    first: date
    last: date
    notes: list[str]
    counts: pl.DataFrame
    totals: pl.DataFrame
    days: pl.DataFrame
    money: pl.DataFrame
    matched: pl.DataFrame
    causes: pl.DataFrame
    shift: Shift | None
    differences: pl.DataFrame

    def exceeds(self, max_gap: float) -> bool:
        """Whether the gap of any total is larger, or one side has nothing."""
        gaps = [*self.counts["gap"], *self.totals.filter((pl.col("ours") != 0) | (pl.col("theirs") != 0))["gap"]]
        return any(gap is None or abs(gap) > max_gap for gap in gaps)


def reconcile(request: ReconcileRequest) -> Reconciliation:
    """Compares published conversions with an export, over the days of the export.

    Raises:
        UsageError: The call cannot work.
        InputError: A side cannot be read.
    """
    for option, zone in (("--timezone", request.zone), ("--their-timezone", request.their_zone)):
        check_zone(option, zone)
    published = open_published(request.folder)
    export = read_export(request.against, request.columns, request.their_zone, request.layout)
    days = with_days(export.rows, request.zone)
    if days["day"].null_count() == days.height:
        raise UsageError(
            f"{request.against} has no time that can be read in column {export.columns['time']!r}.",
            "Name another with --columns time=NAME, or say how it is written with --time-format.",
        )
    first, last = days["day"].min(), days["day"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    ours = with_days(_read_ours(published, request, first, last), request.zone)
    theirs, notes = _with_currency(days, ours, export, request)
    sides = Sides(ours, theirs, match(ours, theirs, request.tolerance), _read_rejections(published, request))
    compared = _compare(sides, in_period(ours, first, last), request)
    return Reconciliation(columns=export.columns, first=first, last=last, notes=notes, **compared)


def _compare(sides: Sides, ours: pl.DataFrame, request: ReconcileRequest) -> dict[str, Any]:
    """What of a `Reconciliation` the rows give; `ours` are those of the period."""
    pairs = sides.pairs
    compared_ours = sides.ours.filter(pl.col("ours").is_in(pl.concat([ours["ours"], pairs["ours"]]).implode()))
    differences = explain_differences(sides._replace(ours=compared_ours), request.tolerance, request.zone)
    by_id = pairs.filter(pl.col("by") != "value and time").join(sides.ours, on="ours")
    apart = by_id.join(sides.theirs, on="row_no", suffix="_theirs").select(apart=pl.col("at_theirs") - pl.col("at"))
    valued = ours if sides.theirs["value"].count() else ours.clear()  # without a value of theirs there is no gap
    return {
        "counts": compare_counts(ours.height, sides.theirs.height),
        "totals": compare_money(valued, sides.theirs, "currency"),
        "days": compare_days(ours, sides.theirs),
        "money": compare_money(valued, sides.theirs, "day", "currency"),
        "matched": pairs["by"]
        .value_counts(name="rows")
        .cast({"rows": pl.Int64})
        .sort("rows", "by", descending=[True, False]),
        "causes": _count_causes(differences),
        "shift": find_shift(sides.ours, sides.theirs, apart["apart"].drop_nulls(), request.zone),
        "differences": differences,
    }


def _is_in_scope(request: ReconcileRequest) -> pl.Expr:
    scope = pl.lit(value=True)
    if request.account is not None:
        scope = scope & (pl.col("account_id") == request.account)
    if request.integration is not None:
        scope = scope & (pl.col("integration") == request.integration)
    return scope


def _read_ours(published: Published, request: ReconcileRequest, first: date, last: date) -> pl.DataFrame:
    at = pl.col(request.our_time)
    day = at.dt.convert_time_zone(request.zone).dt.date()
    is_wanted = pl.col("event").is_in(request.events) if request.events else pl.lit(value=True)
    is_near = day.is_between(first - _MARGIN, last + _MARGIN)
    rows = published.conversions.filter(_is_in_scope(request) & is_wanted & is_near).select(
        "conversion_id", pl.col("transaction_id").str.strip_chars(), "match_key", "value", "currency", at=at
    )
    return read(rows).with_row_index("ours").select(OURS.names())


def _read_rejections(published: Published, request: ReconcileRequest) -> pl.DataFrame:
    """Rejected records that can be recognised, duplicates last: a refusal says more than that it came again."""
    is_known = pl.col("transaction_id").is_not_null() | pl.col("match_key").is_not_null()
    rows = published.rejections.filter(_is_in_scope(request) & is_known).select(
        pl.col("rejection_id").alias("conversion_id"),
        pl.col("transaction_id").str.strip_chars(),
        "match_key",
        "value",
        "currency",
        "reason",
        at="received_at",
        detail=pl.concat_str("message", "suggestion", separator="; ", ignore_nulls=True),
    )
    found = read(rows).sort(pl.col("reason") == "duplicate_transaction", "at", "conversion_id", nulls_last=True)
    return found.with_row_index("ours").select(*OURS.names(), "reason", "detail")


def _with_currency(
    theirs: pl.DataFrame, ours: pl.DataFrame, export: Export, request: ReconcileRequest
) -> tuple[pl.DataFrame, list[str]]:
    """Their rows with a currency where no column says one, and what was assumed of that and of the rest."""
    notes = [f"{count:,} of their rows have a {role} that cannot be read." for role, count in export.unread.items()]
    missing = [role for role in ("transaction_id", "click_id", "value", "currency") if role not in export.columns]
    if missing:
        notes.append(f"The export has no column for {', '.join(missing)}.")
    if "currency" in export.columns:
        return theirs, notes
    used = ours.drop_nulls("value")["currency"].unique().to_list()
    currency = request.currency or (used[0] if len(used) == 1 else None)
    if currency and not request.currency:
        notes.append(f"Their values are taken for {currency}, the only currency of ours; --currency says another.")
    elif not currency and "value" in export.columns:
        notes.append("Their values have no currency, ours have several: name it with --currency.")
    return theirs.with_columns(currency=pl.lit(currency, pl.String)), notes


def _count_causes(differences: pl.DataFrame) -> pl.DataFrame:
    keys = ("side", "cause", "currency")
    value = pl.coalesce("their_value", "our_value")
    counted = (
        differences.lazy()
        .select("side", "cause", currency=pl.coalesce("their_currency", "our_currency"), value=value)
        .group_by(keys)
        .agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("value").filter(pl.col("value").abs() < SUMMABLE).sum())
    )
    return read(counted).sort("rows", *keys, descending=[True, False, False, False], nulls_last=True)


def summarise(outcome: Reconciliation) -> list[str]:
    """What came of it, in sentences."""
    counts = outcome.counts.row(0, named=True)
    matched = int(outcome.matched["rows"].sum())
    agreeing = matched - outcome.differences.filter(pl.col("side") == "both").height
    sentences = [
        (
            f"{counts['ours']:,} conversions of ours and {counts['theirs']:,} of theirs from {outcome.first} to"
            f" {outcome.last}; {matched:,} are the same, {agreeing:,} of them agree in day, value and currency."
        ),
    ]
    if outcome.shift:
        sentences.append(_describe_shift(outcome.shift))
    return sentences


def _describe_shift(shift: Shift) -> str:
    hours = f"{abs(shift.hours):g} {'hour' if abs(shift.hours) == 1 else 'hours'}"
    whole, half = divmod(int(abs(shift.hours) * 2), 2)
    zone = f"UTC{'+' if shift.hours > 0 else '−'}{whole:02d}:{half * 30:02d}"
    side = "ahead of" if shift.hours > 0 else "behind"
    by_pairs = f" {shift.paired:.0%} of the rows that an id matches are so far apart." if shift.paired else ""
    return (
        f"Their times are {hours} {side} ours: local time of {zone}, read as UTC."
        f" The days differ by {shift.differing:,} conversions, without the shift by {shift.left:,}.{by_pairs}"
    )


def as_json(outcome: Reconciliation) -> dict[str, Any]:
    """The outcome as plain data."""
    {
        name: getattr(outcome, name).to_dicts()
        for name in ("totals", "days", "money", "matched", "causes", "differences")
    }
    return {
        "columns": outcome.columns,
        "first_day": outcome.first,
        "last_day": outcome.last,
        "notes": outcome.notes,
        "says": summarise(outcome),
        "shift": outcome.shift._asdict() if outcome.shift else None,
        **{name: getattr(outcome, name).to_dicts() for name in _FRAMES},
    }
