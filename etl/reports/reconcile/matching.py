"""Matches rows of theirs with rows of ours: by transaction id, then by click id, then by value and time.

Each row is matched at most once. Rows without a match go on to the next step.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final, NamedTuple

import polars as pl

from etl.schema import INSTANT, MONEY

#: One row per conversion of ours, numbered by `ours`.
OURS: Final = pl.Schema(
    {
        "ours": pl.UInt32(),
        "conversion_id": pl.String(),
        "transaction_id": pl.String(),
        "match_key": pl.String(),
        "value": MONEY,
        "currency": pl.String(),
        "at": INSTANT,
        "event": pl.String(),
        "integration": pl.String(),
    }
)

#: One row per pair: the numbers of both rows, and what matched them.
PAIRS: Final = pl.Schema({"ours": pl.UInt32(), "row_no": pl.Int64(), "by": pl.String()})

_ID_KEYS: Final = (
    ("transaction_id", "transaction_id", "transaction_id"),
    ("click_id", "match_key", "click_id"),
)

#: What spreadsheets and shops put around ids: its name, and what is removed.
_DRESS: Final = (
    ("`#`", "^#+"),
    ("`'`", "^['’]+"),
    ("`.0`", r"\.0+$"),
    ("`,` between digits", ","),
    ("leading zeros", "^0+"),
)


class Tolerance(NamedTuple):
    """The largest differences of two amounts and of two times that count as equal."""

    value: Decimal
    time: timedelta


def match(ours: pl.DataFrame, theirs: pl.DataFrame, tolerance: Tolerance) -> pl.DataFrame:
    """Matches rows of both sides.

    Args:
        ours: Rows of `OURS`.
        theirs: Rows of `exports.THEIRS`.
        tolerance: Applies to rows that no id matches.

    Returns:
        Rows of `PAIRS`.
    """
    pairs = [pl.DataFrame(schema=PAIRS)]
    for matched_by, our_key, their_key in _ID_KEYS:
        left, right = _unmatched(ours, theirs, pairs)
        pairs.append(_by_key(left, right, matched_by, our_key, their_key))
    left, right = _unmatched(ours, theirs, pairs)
    pairs.append(_by_value_and_time(left, right, tolerance))
    return pl.concat(pairs).sort("row_no")


class Undressed(NamedTuple):
    """Transaction ids that would match if they were not dressed as spreadsheets and shops do it.

    Attributes:
        rows: row_no (theirs), our_id: at most one row for each of theirs.
        dress: What is around the ids of either side, such as leading zeros.
    """

    rows: pl.DataFrame
    dress: tuple[str, ...]


def find_dressed(ours: pl.DataFrame, theirs: pl.DataFrame, pairs: pl.DataFrame) -> Undressed:
    """Finds the rows of theirs whose transaction id matches none of ours, but would without `#`, `.0` and the like.

    Args:
        ours: Rows of `OURS`.
        theirs: Rows of `exports.THEIRS`.
        pairs: Output of `match`.
    """
    by_id = pairs.filter(pl.col("by") == "transaction_id")
    left, right = (
        side.select(number, id="transaction_id").drop_nulls().join(by_id, on=number, how="anti")
        for side, number in ((ours, "ours"), (theirs, "row_no"))
    )
    bare = pl.col("id")
    for _, pattern in _DRESS:
        bare = bare.str.replace_all(pattern, "")
    found = (
        right.with_columns(bare=bare)
        .join(left.with_columns(bare=bare), on="bare", suffix="_of_ours")
        .filter((pl.col("bare") != "") & (pl.col("id") != pl.col("id_of_ours")))
        .unique("row_no", keep="first", maintain_order=True)
        .unique("ours", keep="first", maintain_order=True)
    )
    both = pl.concat([found["id"], found["id_of_ours"]])
    dress = tuple(name for name, pattern in _DRESS if both.str.contains(pattern).any())
    return Undressed(found.select("row_no", our_id="id_of_ours"), dress)


def _unmatched(
    ours: pl.DataFrame, theirs: pl.DataFrame, pairs: list[pl.DataFrame]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keeps the rows of both sides that are in no pair."""
    matched = pl.concat(pairs)
    return ours.join(matched, on="ours", how="anti"), theirs.join(matched, on="row_no", how="anti")


def _by_key(ours: pl.DataFrame, theirs: pl.DataFrame, matched_by: str, our_key: str, their_key: str) -> pl.DataFrame:
    """Pairs rows with equal keys: among several, rows of equal value first, then rows in the order of their times."""
    ours, theirs = (
        side.select(number, "value", "at", key=name).drop_nulls("key")
        for side, name, number in ((ours, our_key, "ours"), (theirs, their_key, "row_no"))
    )
    ours, theirs = ours.join(theirs, on="key", how="semi"), theirs.join(ours, on="key", how="semi")
    found = [pl.DataFrame(schema=PAIRS)]
    for extra in (["value"], []):
        keys = ["key", *extra]
        left, right = (
            side.drop_nulls(extra)
            .sort("at", side.columns[0], nulls_last=True)
            .with_columns(turn=pl.int_range(pl.len()).over(keys))
            for side in _unmatched(ours, theirs, found)
        )
        found.append(left.join(right, on=[*keys, "turn"]).select("ours", "row_no", by=pl.lit(matched_by)))
    return pl.concat(found)


def _by_value_and_time(ours: pl.DataFrame, theirs: pl.DataFrame, tolerance: Tolerance) -> pl.DataFrame:
    """Pairs rows whose value and time are within the tolerance, nearest in time first.

    If both rows have a currency, it must be the same. Rows are put in cells as large as the tolerance, so only rows in
    neighbouring cells are compared.
    """
    micros = tolerance.time // timedelta(microseconds=1)
    left, right = (side.drop_nulls(["value", "at"]) for side in (ours, theirs))
    step = max(tolerance.value, Decimal("0.01"))

    def with_cells(side: pl.DataFrame) -> pl.DataFrame:
        value = (side["value"] / step).cast(pl.Float64).floor().cast(pl.Int64)
        return side.with_columns(value_cell=value, time_cell=side["at"].to_physical() // max(micros, 1))

    around = [pl.lit(-1), pl.lit(0), pl.lit(1)]
    spread = (
        with_cells(right)
        .with_columns(value_step=pl.concat_list(around), time_step=pl.concat_list(around))
        .explode("value_step")
        .explode("time_step")
        .with_columns(value_cell=pl.col("value_cell") + pl.col("value_step"))
        .with_columns(time_cell=pl.col("time_cell") + pl.col("time_step"))
        .select("row_no", "value_cell", "time_cell", their_value="value", their_currency="currency", their_at="at")
    )
    apart = (pl.col("at") - pl.col("their_at")).abs()
    differs = (pl.col("value") - pl.col("their_value")).abs()
    candidates = (
        with_cells(left)
        .join(spread, on=["value_cell", "time_cell"])
        .with_columns(apart=apart, differs=differs)
        .filter(
            (pl.col("differs") <= tolerance.value)
            & (pl.col("apart") <= tolerance.time)
            & (pl.col("currency") == pl.col("their_currency")).fill_null(value=True)
        )
        .sort("apart", "differs", "row_no", "ours")
        .select("ours", "row_no")
    )
    return _once_each(candidates).with_columns(by=pl.lit("value and time"))


def _once_each(candidates: pl.DataFrame) -> pl.DataFrame:
    """Keeps the first candidate pair of each row, so that no row is in two pairs."""
    ours: set[int] = set()
    theirs: set[int] = set()
    chosen = []
    for our, their in candidates.iter_rows():
        if our not in ours and their not in theirs:
            ours.add(our)
            theirs.add(their)
            chosen.append((our, their))
    return pl.DataFrame(chosen, schema={"ours": pl.UInt32(), "row_no": pl.Int64()}, orient="row")
