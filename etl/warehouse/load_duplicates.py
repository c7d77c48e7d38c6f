"""Deduplication across loads (rules 6.3): who wins now, and whose fate that changes.

The keys of earlier loads are read by their hashes alone, 8 bytes a conversion; the rest only of those that meet a new
or a removed one. A group is judged whole, before and after, by the same function as within a run; the difference is
what has to move.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import UsageError
from etl.rules.ruleset import Ruleset
from etl.transform.deduplication import DUPLICATES, find_duplicates, repeated_hashes
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import STORED_KEYS, id_prefix, prefix_of

#: Rows of `DUPLICATES` with the day of the record, to find it.
MOVES: Final = pl.Schema({**DUPLICATES, "received_date": pl.Date()})

_COMPARED: Final = [name for name in STORED_KEYS.schema if name != "raw"]


class Verdict(NamedTuple):
    """Who is a duplicate of whom, as far as it is new.

    Attributes:
        new: Of the new conversions: rows of `DUPLICATES`.
        demoted: Earlier conversions that are duplicates now: rows of `MOVES`.
        promoted: Earlier duplicates that are conversions now: rows of `MOVES`, by what they were.
        changed: Earlier duplicates of another conversion, or kind, than before: rows of `MOVES`.
    """

    new: pl.DataFrame
    demoted: pl.DataFrame
    promoted: pl.DataFrame
    changed: pl.DataFrame


def dedup_of(ruleset: Ruleset) -> dict[str, Any]:
    """What of a ruleset all inputs of a warehouse must have in common."""
    window = ruleset.dedup_window
    return {"scope": ruleset.dedup_scope, "window_seconds": window.total_seconds() if window else None}


def agreed_dedup(warehouse: Warehouse, ruleset: Ruleset) -> dict[str, Any]:
    """By what the warehouse finds duplicates, from its first load on, and the ruleset too.

    Raises:
        UsageError: The ruleset would find others.
    """
    present, asked = warehouse.snapshot.dedup, dedup_of(ruleset)
    if present not in (None, asked):
        raise UsageError(
            f"{warehouse.place.address} finds duplicates by {present}, this ruleset by {asked}.",
            "Load into another warehouse, or give the ruleset the same dedup_scope and dedup_window.",
        )
    return asked


def window_of(dedup: dict[str, Any] | None) -> timedelta | None:
    """The window of a snapshot's deduplication."""
    seconds = dedup and dedup["window_seconds"]
    return timedelta(seconds=seconds) if seconds else None


def as_stored(keys: pl.DataFrame) -> pl.DataFrame:
    """Rows of `schema.KEYS` with signed hashes, as a warehouse keeps them."""
    return keys.with_columns(pl.col("key_hash", "match_digest").reinterpret(signed=True))


def judge(
    warehouse: Warehouse, staged: list[Path], removed: pl.DataFrame, digests: frozenset[str], window: timedelta | None
) -> Verdict:
    """Compares new keys with those of the warehouse.

    Args:
        warehouse: As it is.
        staged: Files of new keys: rows of `schema.KEYS`.
        removed: Rows of `delta.FILES` of `keys` that may hold keys of removed inputs.
        digests: The removed inputs.
        window: Of the deduplication.

    Returns:
        What changes.
    """
    new_hashes = [as_stored(pl.read_parquet(path, columns=["key_hash", "match_digest"]))["key_hash"] for path in staged]
    prefixes = [prefix_of(digest) for digest in digests]
    is_removed = id_prefix("conversion_id").is_in(prefixes)
    lost = warehouse.scan("keys", removed).filter(is_removed).select("key_hash").unique().collect()["key_hash"]
    asked = pl.concat([lost, *new_hashes]).unique()
    keys = warehouse.scan("keys")
    met = keys.select("key_hash").join(asked.to_frame().lazy(), on="key_hash", how="semi").unique()
    repeated = repeated_hashes([part.reinterpret(signed=False) for part in new_hashes]).reinterpret(signed=True)
    touched = pl.concat([met.collect(engine="streaming")["key_hash"], repeated, lost]).unique()
    is_touched = pl.col("key_hash").is_in(touched.implode())
    history = keys.filter(is_touched).select(_COMPARED).collect(engine="streaming")
    news = [as_stored(pl.read_parquet(path)).filter(is_touched).select(_COMPARED) for path in staged]
    fresh = pl.concat([pl.DataFrame(schema={name: STORED_KEYS.schema[name] for name in _COMPARED}), *news])
    left = history.filter(~is_removed)
    return _difference(
        left,
        find_duplicates(history, window),
        find_duplicates(pl.concat([left, fresh]), window),
    )


def _difference(left: pl.DataFrame, before: pl.DataFrame, after: pl.DataFrame) -> Verdict:
    """What is otherwise than before of the rows that are left, and what becomes of the others."""
    days = left.select("conversion_id", received_date=pl.col("received_at").dt.date())
    was, is_now = before.join(days, on="conversion_id"), after.join(days, on="conversion_id")
    both = is_now.join(was, on="conversion_id", suffix="_before")
    is_other = (pl.col("duplicate_of") != pl.col("duplicate_of_before")) | (
        pl.col("duplicate_kind") != pl.col("duplicate_kind_before")
    )
    return Verdict(
        new=after.join(days, on="conversion_id", how="anti"),
        demoted=is_now.join(was, on="conversion_id", how="anti").select(MOVES.names()),
        promoted=was.join(is_now, on="conversion_id", how="anti").select(MOVES.names()),
        changed=both.filter(is_other).select(MOVES.names()),
    )
