"""Reconciles published conversions with an export: reads both, matches rows, compares days and explains differences.

Ours are the published conversions; theirs are the rows of the export.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import UsageError
from etl.options import Pii
from etl.privacy.addresses import hide_addresses
from etl.reports.display import as_html
from etl.reports.reconcile.causes import Sides, explain_differences
from etl.reports.reconcile.exports import Export, read_export
from etl.reports.reconcile.gaps import (
    Shift,
    compare_counts,
    compare_days,
    compare_money,
    find_shift,
    in_period,
    sum_events,
    with_days,
)
from etl.reports.reconcile.matching import OURS, Tolerance, Undressed, find_dressed, match
from etl.runner.published_tables import Published, read
from etl.schema import SUMMABLE
from etl.sources.settings import check_zone
from etl.warehouse.stores import open_store

#: Columns of conversions that can be the time to compare.
OUR_TIMES: Final = ("occurred_at", "received_at")

#: Conversions so far outside the export's period are compared too: days have edges, and times may be shifted.
_MARGIN: Final = timedelta(days=2)

_FRAMES: Final = ("counts", "totals", "events", "days", "money", "matched", "causes", "differences")


@dataclass(frozen=True)
class ReconcileRequest:
    """What to reconcile.

    Attributes:
        store: A folder that `run` or `export` wrote, or a warehouse.
        against: File of the export.
        columns: Role -> column of the export, for roles that are not guessed by name.
        zone: IANA name of the time zone of days.
        their_zone: IANA name of the time zone of their times without a zone.
        layout: Format of their times, as for strftime; None: any common format.
        currency: Currency of their values, if the export has no column for it.
        account: Compare only this account of ours.
        integration: Compare only this integration of ours.
        events: Compare only these events of ours; empty: all.
        since: Compare only days from this day on.
        until: Compare only days before this day.
        our_time: `occurred_at` or `received_at`.
        tolerance: Differences of amounts and times that count as equal.
    """

    store: str | Path
    against: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    their_zone: str = "UTC"
    layout: str | None = None
    currency: str | None = None
    account: str | None = None
    integration: str | None = None
    events: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    our_time: str = "occurred_at"
    tolerance: Tolerance = Tolerance(Decimal("0.01"), timedelta(minutes=10))  # noqa: RUF009 - a tuple


class Reconciliation(NamedTuple):
    """The result of a comparison.

    Attributes:
        columns: Role -> column of the export.
        first: The first day of the export, in the zone of days.
        last: The last day of the export.
        notes: What was assumed, and what limits the comparison.
        counts: ours, theirs (conversions), gap (share of theirs), band: one row.
        totals: currency, ours, theirs (money), gap, band.
        events: event, currency, conversions, ours: the parts of our totals.
        days: day, ours, theirs, gap, band.
        money: day, currency, ours, theirs, gap, band.
        matched: by, rows.
        causes: side, cause, event (of ours), currency, rows, value.
        shift: How far their times are ahead; None if no shift is certain.
        differences: Rows of `causes.DIFFERENCES`.
    """

    columns: dict[str, str]
    first: date
    last: date
    notes: list[str]
    counts: pl.DataFrame
    totals: pl.DataFrame
    events: pl.DataFrame
    days: pl.DataFrame
    money: pl.DataFrame
    matched: pl.DataFrame
    causes: pl.DataFrame
    shift: Shift | None
    differences: pl.DataFrame

    def as_data(self) -> dict[str, Any]:
        """Converts the comparison to plain data."""
        return as_json(self)

    def _repr_html_(self) -> str:
        frames = ((name.capitalize(), getattr(self, name)) for name in _FRAMES)
        return as_html("Reconciliation", (*self.notes, *summarise(self)), frames)

    def exceeds(self, max_gap: float) -> bool:
        """Whether a total differs by more than a share, or theirs has nothing to compare with."""
        gaps = [*self.counts["gap"], *self.totals.filter((pl.col("ours") != 0) | (pl.col("theirs") != 0))["gap"]]
        return any(gap is None or abs(gap) > max_gap for gap in gaps)


def reconcile(request: ReconcileRequest) -> Reconciliation:
    """Compares published conversions with an export, over the days of the export.

    Raises:
        UsageError: A time zone or column is unknown, or the export has no readable time.
        InputError: The tables or the export cannot be read.
    """
    for option, zone in (("--timezone", request.zone), ("--their-timezone", request.their_zone)):
        check_zone(option, zone)
    published = open_store(request.store)
    pii: Pii = "keep" if _keeps_plain(published) else "hash"
    export = read_export(request.against, request.columns, request.their_zone, request.layout)
    export = export._replace(rows=_hide(export.rows, pii))
    days = with_days(export.rows, request.zone)
    if days["day"].null_count() == days.height:
        raise UsageError(
            f"{request.against} has no readable time in column {export.columns['time']!r}.",
            "Name another column with --columns time=NAME, or give the format of the times with --time-format.",
        )
    if request.since or request.until:
        days = in_period(days, request.since or date.min, (request.until or date.max) - timedelta(days=1))
        if not days.height:
            raise UsageError(f"{request.against} has no row on these days.", "Name other days.")
    first, last = days["day"].min(), days["day"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    ours = with_days(_hide(_read_ours(published, request, first, last), pii), request.zone)
    theirs, notes = _with_currency(days, ours, export, request)
    pairs = match(ours, theirs, request.tolerance)
    undressed = find_dressed(ours, theirs, pairs)
    if undressed.rows.height:
        notes.append(_describe_dress(undressed))
    sides = Sides(ours, theirs, pairs, _read_rejections(published, request), undressed.rows)
    compared = _compare(sides, in_period(ours, first, last), request)
    if compared["events"]["event"].n_unique() > 1:
        notes.append("Our money is of several events, which its sums add up; --event NAME compares those of one.")
    return Reconciliation(columns=export.columns, first=first, last=last, notes=notes, **compared)


def _keeps_plain(published: Published) -> bool:
    """Returns whether the tables hold personal values as they were sent."""
    return bool(read(published.conversions.select(pl.col("email").is_not_null().any())).item())


def _hide(rows: pl.DataFrame, pii: Pii) -> pl.DataFrame:
    """Replaces the addresses in the ids of a side by their hashes, as the tables do."""
    named = [name for name in ("transaction_id", "click_id", "match_key", "currency") if name in rows.columns]
    return rows.with_columns(hide_addresses(rows[name], pii) for name in named)


def _compare(sides: Sides, ours: pl.DataFrame, request: ReconcileRequest) -> dict[str, Any]:
    """Computes the frames and the shift of a `Reconciliation`; `ours` holds the conversions of the period."""
    pairs = sides.pairs
    compared_ours = sides.ours.filter(pl.col("ours").is_in(pl.concat([ours["ours"], pairs["ours"]]).implode()))
    differences = explain_differences(sides._replace(ours=compared_ours), request.tolerance, request.zone)
    by_id = pairs.filter(pl.col("by") != "value and time").join(sides.ours, on="ours")
    apart = by_id.join(sides.theirs, on="row_no", suffix="_theirs").select(apart=pl.col("at_theirs") - pl.col("at"))
    valued = ours if sides.theirs["value"].count() else ours.clear()  # without a value of theirs there is no gap
    return {
        "counts": compare_counts(ours.height, sides.theirs.height),
        "totals": compare_money(valued, sides.theirs, "currency"),
        "events": sum_events(valued),
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
    """Whether a row belongs to the account and integration to compare."""
    scope = pl.lit(value=True)
    if request.account is not None:
        scope = scope & (pl.col("account_id") == request.account)
    if request.integration is not None:
        scope = scope & (pl.col("integration") == request.integration)
    return scope


def _read_ours(published: Published, request: ReconcileRequest, first: date, last: date) -> pl.DataFrame:
    """Reads the conversions of a period and its margins, as rows of `OURS`."""
    at = pl.col(request.our_time)
    day = at.dt.convert_time_zone(request.zone).dt.date()
    is_wanted = pl.col("event").is_in(request.events) if request.events else pl.lit(value=True)
    is_near = day.is_between(first - _MARGIN, last + _MARGIN)
    rows = published.conversions.filter(_is_in_scope(request) & is_wanted & is_near).select(
        "conversion_id",
        pl.col("transaction_id").str.strip_chars(),
        *("match_key", "value", "currency", "event", "integration"),
        at=at,
    )
    return read(rows).with_row_index("ours").select(OURS.names())


def _read_rejections(published: Published, request: ReconcileRequest) -> pl.DataFrame:
    """Reads rejected records with a transaction id or match key; duplicates last, as other reasons explain more."""
    is_known = pl.col("transaction_id").is_not_null() | pl.col("match_key").is_not_null()
    rows = published.rejections.filter(_is_in_scope(request) & is_known).select(
        pl.col("rejection_id").alias("conversion_id"),
        pl.col("transaction_id").str.strip_chars(),
        *("match_key", "value", "currency", "event", "integration", "reason"),
        at="received_at",
        detail=pl.concat_str("message", "suggestion", separator="; ", ignore_nulls=True),
    )
    found = read(rows).sort(pl.col("reason") == "duplicate_transaction", "at", "conversion_id", nulls_last=True)
    return found.with_row_index("ours").select(*OURS.names(), "reason", "detail")


def _with_currency(
    theirs: pl.DataFrame, ours: pl.DataFrame, export: Export, request: ReconcileRequest
) -> tuple[pl.DataFrame, list[str]]:
    """Fills the currency of their rows if the export has no column for it, and notes what was assumed or is missing."""
    notes = [
        *export.notes,
        *(f"{count:,} rows of the export have a {role} that cannot be read." for role, count in export.unread.items()),
    ]
    missing = [role for role in ("transaction_id", "click_id", "value", "currency") if role not in export.columns]
    if missing:
        notes.append(f"The export has no column for {', '.join(missing)}.")
    if "currency" in export.columns:
        return theirs, notes
    used = ours.drop_nulls("value")["currency"].unique().to_list()
    currency = request.currency or (used[0] if len(used) == 1 else None)
    if currency and not request.currency:
        notes.append(f"Their values are assumed to be in {currency}, the only currency of ours; --currency changes it.")
    elif not currency and "value" in export.columns:
        notes.append("Their values have no currency, and ours do not have exactly one: name it with --currency.")
    return theirs.with_columns(currency=pl.lit(currency, pl.String)), notes


def _describe_dress(undressed: Undressed) -> str:
    """Says how many transaction ids more would match, and without what."""
    count, dress = undressed.rows.height, undressed.dress
    named = " and ".join(filter(None, (", ".join(dress[:-1]), dress[-1])))
    return f"{count:,} more transaction {'id' if count == 1 else 'ids'} would match without {named}."


def _count_causes(differences: pl.DataFrame) -> pl.DataFrame:
    """Counts differences, and sums their values, by side, cause, event of ours and currency."""
    keys = ("side", "cause", "event", "currency")
    value = pl.coalesce("their_value", "our_value")
    counted = (
        differences.lazy()
        .select("side", "cause", event="our_event", currency=pl.coalesce("their_currency", "our_currency"), value=value)
        .group_by(keys)
        .agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("value").filter(pl.col("value").abs() < SUMMABLE).sum())
    )
    return read(counted).sort("rows", *keys, descending=[True, *([False] * len(keys))], nulls_last=True)


def summarise(outcome: Reconciliation) -> list[str]:
    """Summarises a comparison in sentences."""
    counts = outcome.counts.row(0, named=True)
    matched = int(outcome.matched["rows"].sum())
    agreeing = matched - outcome.differences.filter(pl.col("side") == "both").height
    sentences = [
        (
            f"{counts['ours']:,} conversions of ours and {counts['theirs']:,} of theirs from {outcome.first} to"
            f" {outcome.last}; {matched:,} are matched, and {agreeing:,} of them agree in day, value and currency."
        ),
    ]
    if outcome.shift:
        sentences.append(_describe_shift(outcome.shift))
    return sentences


def _describe_shift(shift: Shift) -> str:
    """Describes a shift of their times, and how far it explains the differences."""
    hours = f"{abs(shift.hours):g} {'hour' if abs(shift.hours) == 1 else 'hours'}"
    whole, half = divmod(int(abs(shift.hours) * 2), 2)
    zone = f"UTC{'+' if shift.hours > 0 else '−'}{whole:02d}:{half * 30:02d}"
    side = "ahead of" if shift.hours > 0 else "behind"
    by_pairs = f" {shift.paired:.0%} of the pairs that an id matches have this shift." if shift.paired else ""
    return (
        f"Their times are {hours} {side} ours: local time of {zone}, read as UTC."
        f" The days differ by {shift.differing:,} conversions, and by {shift.left:,} without the shift.{by_pairs}"
    )


def as_json(outcome: Reconciliation) -> dict[str, Any]:
    """Converts a comparison to plain data."""
    return {
        "columns": outcome.columns,
        "first_day": outcome.first,
        "last_day": outcome.last,
        "notes": outcome.notes,
        "says": summarise(outcome),
        "shift": outcome.shift._asdict() if outcome.shift else None,
        **{name: getattr(outcome, name).to_dicts() for name in _FRAMES},
    }
