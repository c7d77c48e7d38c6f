"""Deduplication across loads (rules 6.3): finds which duplicates a change of the inputs makes and unmakes.

Only the hashes of earlier keys are read whole, 8 bytes a conversion. The other columns are read for keys that share a
hash with a new or a removed key. All conversions of such keys are deduplicated twice, before and after the change, by
the function that a run uses. The difference says which rows have to move.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from etl.errors import UsageError
from etl.rules.ruleset import Ruleset
from etl.runner.pieces import Piece
from etl.sources.storage.store_paths import Folder
from etl.steps.address_columns import hide_in_columns
from etl.steps.deduplication import DUPLICATES, find_duplicates, repeated_hashes
from etl.warehouse.snapshots import Warehouse
from etl.warehouse.table_layout import STORED_KEYS, id_prefix, prefix_of

#: Rows of `DUPLICATES`, with the day of the record, by which its files are found.
MOVES: Final = pl.Schema({**DUPLICATES, "received_date": pl.Date()})

_COMPARED: Final = [name for name in STORED_KEYS.schema if name != "raw"]


class DuplicateChanges(NamedTuple):
    """The changes of duplicates.

    Attributes:
        new: Duplicates among the new conversions: rows of `DUPLICATES`.
        demoted: Earlier conversions that become duplicates: rows of `MOVES`.
        promoted: Earlier duplicates that become conversions: rows of `MOVES`, with what they were duplicates of.
        changed: Earlier duplicates whose `duplicate_of` or `duplicate_kind` changes: rows of `MOVES`.
    """

    new: pl.DataFrame
    demoted: pl.DataFrame
    promoted: pl.DataFrame
    changed: pl.DataFrame


class StagedPieces(NamedTuple):
    """Pieces of new rows, and the folder in which they are staged."""

    pieces: list[Piece]
    folder: Folder


NOTHING_STAGED: Final = StagedPieces([], Path())


def dedup_settings(ruleset: Ruleset) -> dict[str, Any]:
    """Returns the settings of a ruleset that all loads of a warehouse must share."""
    window = ruleset.dedup_window
    return {"scope": ruleset.dedup_scope, "window_seconds": window.total_seconds() if window else None}


def checked_dedup_settings(warehouse: Warehouse, ruleset: Ruleset) -> dict[str, Any]:
    """Returns the deduplication settings of a ruleset, which must be those of the warehouse.

    Raises:
        UsageError: The warehouse has other settings.
    """
    present, asked = warehouse.snapshot.dedup, dedup_settings(ruleset)
    if present not in (None, asked):
        raise UsageError(
            f"{warehouse.place.address} finds duplicates by {present}, this ruleset by {asked}.",
            "Load into another warehouse, or give the ruleset the same dedup_scope and dedup_window.",
        )
    return asked


def dedup_window(dedup: dict[str, Any] | None) -> timedelta | None:
    """Returns the window of a snapshot's deduplication; None if there is none."""
    seconds = dedup and dedup["window_seconds"]
    return timedelta(seconds=seconds) if seconds else None


def as_stored(keys: pl.DataFrame) -> pl.DataFrame:
    """Turns rows of `schema.KEYS` into rows of the table `keys`, which has signed hashes."""
    return keys.with_columns(pl.col("key_hash", "match_digest").reinterpret(signed=True))


def compare_keys(
    warehouse: Warehouse,
    staged: StagedPieces,
    removed: pl.DataFrame,
    digests: frozenset[str],
    window: timedelta | None,
) -> DuplicateChanges:
    """Compares new and removed keys with the keys of the warehouse.

    Args:
        warehouse: The warehouse before the change.
        staged: The pieces with new keys.
        removed: Rows of `delta.FILES`: the files of the table `keys` that may hold keys of removed inputs.
        digests: Digests of the removed inputs.
        window: Window of the deduplication.

    Returns:
        The duplicates that change.
    """
    new_hashes = [piece.read_hashes(staged.folder).reinterpret(signed=True) for piece in staged.pieces]
    prefixes = [prefix_of(digest) for digest in digests]
    is_removed = id_prefix("conversion_id").is_in(prefixes)
    lost = warehouse.scan("keys", removed).filter(is_removed).select("key_hash").unique().collect()["key_hash"]
    new_and_lost = pl.concat([lost, *new_hashes]).unique()
    keys = warehouse.scan("keys")
    known = keys.select("key_hash").join(new_and_lost.to_frame().lazy(), on="key_hash", how="semi").unique()
    repeated = repeated_hashes([part.reinterpret(signed=False) for part in new_hashes]).reinterpret(signed=True)
    touched = pl.concat([known.collect(engine="streaming")["key_hash"], repeated, lost]).unique()
    is_touched = pl.col("key_hash").is_in(touched.implode())
    history = hide_in_columns(keys.filter(is_touched).select(_COMPARED).collect(engine="streaming"), "hash")
    hashes = touched.reinterpret(signed=False)
    news = [as_stored(piece.read_keys(staged.folder, hashes)).select(_COMPARED) for piece in staged.pieces]
    fresh = pl.concat([pl.DataFrame(schema={name: STORED_KEYS.schema[name] for name in _COMPARED}), *news])
    left = history.filter(~is_removed)
    return _difference(
        left,
        find_duplicates(history, window),
        find_duplicates(pl.concat([left, fresh]), window),
    )


def _difference(left: pl.DataFrame, before: pl.DataFrame, after: pl.DataFrame) -> DuplicateChanges:
    """Compares the duplicates before and after a change.

    Args:
        left: Keys of the earlier conversions that stay.
        before: Rows of `DUPLICATES` before the change.
        after: Rows of `DUPLICATES` after the change.
    """
    days = left.select("conversion_id", received_date=pl.col("received_at").dt.date())
    was, is_now = before.join(days, on="conversion_id"), after.join(days, on="conversion_id")
    both = is_now.join(was, on="conversion_id", suffix="_before")
    is_other = (pl.col("duplicate_of") != pl.col("duplicate_of_before")) | (
        pl.col("duplicate_kind") != pl.col("duplicate_kind_before")
    )
    return DuplicateChanges(
        new=after.join(days, on="conversion_id", how="anti"),
        demoted=is_now.join(was, on="conversion_id", how="anti").select(MOVES.names()),
        promoted=was.join(is_now, on="conversion_id", how="anti").select(MOVES.names()),
        changed=both.filter(is_other).select(MOVES.names()),
    )
