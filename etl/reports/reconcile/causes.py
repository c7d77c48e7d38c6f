"""Finds the rows of both sides that do not agree, and the cause of each difference.

Ours are the published conversions; theirs are the rows of the export.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from etl.reports.reconcile.matching import Tolerance
from etl.schema import INSTANT, MONEY

#: One row per difference: a row of the export, a conversion, or a pair that does not agree.
DIFFERENCES: Final = pl.Schema(
    {
        "side": pl.String(),
        "cause": pl.String(),
        "detail": pl.String(),
        "matched_by": pl.String(),
        "row_no": pl.Int64(),
        "their_transaction_id": pl.String(),
        "their_click_id": pl.String(),
        "their_at": INSTANT,
        "their_value": MONEY,
        "their_currency": pl.String(),
        "record_id": pl.String(),
        "our_transaction_id": pl.String(),
        "our_match_key": pl.String(),
        "our_at": INSTANT,
        "our_value": MONEY,
        "our_currency": pl.String(),
        "their_status": pl.String(),
        "our_event": pl.String(),
        "our_integration": pl.String(),
    }
)


class Cause(NamedTuple):
    """The cause of a difference: its name and its meaning."""

    name: str
    meaning: str


CAUSES: Final = (
    Cause("other currency", "the same conversion in another currency"),
    Cause("other value", "the same conversion with another value"),
    Cause("other day", "the same conversion on another day; the detail says how many hours later theirs is"),
    Cause("rejected: REASON", "we rejected the record; the detail holds message and suggestion"),
    Cause("duplicate", "we removed the record as a duplicate"),
    Cause("counted twice by them", "another row of theirs with this transaction id is matched"),
    Cause(
        "counted twice by us",
        "another conversion of ours with this transaction id is matched, in the integration or under the event that the"
        " detail names",
    ),
    Cause(
        "only theirs",
        "no conversion of ours has its ids, or its value at that time; the detail names an id that is nearly its own",
    ),
    Cause("only ours", "no row of theirs has its ids, or its value at that time"),
)

_THEIRS: Final = ("transaction_id", "click_id", "at", "value", "currency", "status")
_OURS: Final = ("transaction_id", "match_key", "at", "value", "currency", "event", "integration")


class Sides(NamedTuple):
    """The two sides and their pairs.

    Attributes:
        ours: Conversions, rows of `matching.OURS`.
        theirs: The export, rows of `exports.THEIRS`.
        pairs: Rows of `matching.PAIRS`.
        rejections: Rejected records, rows of `matching.OURS` with `reason` and `detail`.
        undressed: row_no, our_id: rows of theirs whose id is nearly an id of ours, as `matching.find_dressed` finds.
    """

    ours: pl.DataFrame
    theirs: pl.DataFrame
    pairs: pl.DataFrame
    rejections: pl.DataFrame
    undressed: pl.DataFrame


def explain_differences(sides: Sides, tolerance: Tolerance, zone: str) -> pl.DataFrame:
    """Explains pairs that do not agree, rows of theirs without a pair, and rows of ours without a pair, in this order.

    Args:
        sides: The two sides; ours holds conversions of the period and conversions in a pair.
        tolerance: Amounts within it are equal.
        zone: IANA name of the time zone of days.

    Returns:
        Rows of `DIFFERENCES`. `record_id` is the id of a conversion or a rejection.
    """
    ours = _with_prefix(sides.ours, "our", _OURS).rename({"conversion_id": "record_id"})
    theirs = _with_prefix(sides.theirs, "their", _THEIRS)
    both = sides.pairs.join(ours, on="ours").join(theirs, on="row_no").rename({"by": "matched_by"})
    found = [
        _explain_pairs(both, tolerance, zone).with_columns(side=pl.lit("both")),
        _explain_theirs(theirs, both, sides).with_columns(side=pl.lit("theirs")),
        _explain_ours(ours, both).with_columns(side=pl.lit("ours")),
    ]
    return pl.concat([pl.DataFrame(schema=DIFFERENCES), *found], how="diagonal_relaxed").select(DIFFERENCES.names())


def _with_prefix(rows: pl.DataFrame, prefix: str, columns: tuple[str, ...]) -> pl.DataFrame:
    return rows.rename({name: f"{prefix}_{name}" for name in columns})


def _explain_pairs(both: pl.DataFrame, tolerance: Tolerance, zone: str) -> pl.DataFrame:
    """Finds pairs that differ in currency, value or day; the first difference is the cause."""
    day = {side: pl.col(f"{side}_at").dt.convert_time_zone(zone).dt.date() for side in ("our", "their")}
    causes = (
        ("other currency", pl.col("our_currency") != pl.col("their_currency")),
        ("other value", (pl.col("our_value") - pl.col("their_value")).abs() > tolerance.value),
        ("other value", pl.col("our_value").is_null() & pl.col("their_value").is_not_null()),
        ("other day", day["our"] != day["their"]),
    )
    hours = ((pl.col("their_at") - pl.col("our_at")).dt.total_seconds() / 3600).round(1)
    return both.with_columns(
        cause=pl.coalesce(pl.when(applies.fill_null(value=False)).then(pl.lit(cause)) for cause, applies in causes),
        detail=pl.when(hours != 0).then(pl.format("theirs is {} hours later", hours)),
    ).drop_nulls("cause")


def _explain_theirs(theirs: pl.DataFrame, both: pl.DataFrame, sides: Sides) -> pl.DataFrame:
    """Explains rows of theirs without a pair: rejected by us, a duplicate, counted twice by them, or only theirs."""
    unmatched = theirs.join(both, on="row_no", how="anti")
    known = _with_prefix(sides.rejections, "our", _OURS).rename({"conversion_id": "record_id"}).drop("ours")
    refused = [
        unmatched.drop_nulls(key).join(
            known.unique(our_key, keep="first", maintain_order=True), left_on=key, right_on=our_key, coalesce=False
        )
        for key, our_key in (("their_transaction_id", "our_transaction_id"), ("their_click_id", "our_match_key"))
    ]
    is_duplicate = pl.col("reason") == "duplicate_transaction"
    rejected = (
        pl.concat(refused)
        .unique("row_no", keep="first", maintain_order=True)
        .with_columns(
            cause=pl.when(is_duplicate).then(pl.lit("duplicate")).otherwise(pl.lit("rejected: ") + pl.col("reason"))
        )
    )
    rest = unmatched.join(rejected, on="row_no", how="anti").join(sides.undressed, on="row_no", how="left")
    rest = rest.with_columns(
        detail=pl.format("nearly our transaction id {}", "our_id"),
        cause=pl.when(_is_matched_already("their_transaction_id", both))
        .then(pl.lit("counted twice by them"))
        .otherwise(pl.lit("only theirs")),
    )
    return pl.concat([rejected, rest], how="diagonal_relaxed").sort("row_no")


def _explain_ours(ours: pl.DataFrame, both: pl.DataFrame) -> pl.DataFrame:
    """Explains rows of ours without a pair: counted twice by us, or only ours."""
    matched = both.select("our_transaction_id", event="our_event", integration="our_integration").drop_nulls(
        "our_transaction_id"
    )
    unmatched = ours.join(both, on="ours", how="anti").join(
        matched.unique("our_transaction_id", keep="first", maintain_order=True), on="our_transaction_id", how="left"
    )
    is_twice = pl.col("event").is_not_null()
    is_elsewhere = pl.col("our_integration").ne_missing(pl.col("integration"))
    return unmatched.with_columns(
        cause=pl.when(is_twice).then(pl.lit("counted twice by us")).otherwise(pl.lit("only ours")),
        detail=pl.when(is_twice & is_elsewhere)
        .then(
            pl.format("in integration {}; the matched one in {}", _or_none("our_integration"), _or_none("integration"))
        )
        .when(is_twice)
        .then(pl.format("event {}; that of the matched one {}", "our_event", "event")),
    ).sort("our_at", "record_id", nulls_last=True)


def _or_none(name: str) -> pl.Expr:
    return pl.col(name).fill_null("none")


def _is_matched_already(key: str, both: pl.DataFrame) -> pl.Expr:
    """Whether a row's key occurs in a pair."""
    return pl.col(key).is_in(both[key].drop_nulls().implode()).fill_null(value=False)
