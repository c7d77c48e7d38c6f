"""Finds duplicates by transaction_id, the only step that compares records with each other (rules 6.3)."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import Final

import numpy as np
import polars as pl

from etl.rules import placeholders
from etl.rules.ruleset import Ruleset
from etl.schema import KEYS
from etl.steps.record_ids import stable_hash

_KEY: Final = ("account_id", "integration", "event", "transaction_key")
#: A key as sent: texts with an e-mail address are hidden (rules 9.1), their hash is that of the texts as sent.
_SENT_KEY: Final = (*_KEY, "key_hash")
_ORDER: Final = ("received_at", "source_digest", "record_no")

#: A duplicate: its conversion_id, that of the kept record, and `identical` if value, currency and match key are equal,
#: else `conflicting`.
DUPLICATES: Final = pl.Schema(
    {"conversion_id": pl.String(), "duplicate_of": pl.String(), "duplicate_kind": pl.String()}
)

#: Columns of keys that conversions do not have; a ruleset may leave the event out of the key.
_OWN: Final = ("event", "transaction_key", "key_hash", "match_digest")
NOT_SHARED: Final = ["conversion_id", *(name for name in _OWN if name != "transaction_key")]
#: Columns of keys that are copied from conversions unchanged, and those columns of conversions that keys come from.
_COPIED: Final = [name for name in KEYS.names if name not in _OWN]
SHARED: Final = [*_COPIED, "transaction_id"]

#: The keys of conversions without transaction ids.
_NO_KEYS: Final = KEYS.empty()


def dedup_keys(conversions: pl.DataFrame, sent: pl.DataFrame, ruleset: Ruleset) -> pl.DataFrame:
    """Returns the deduplication keys of conversions that have a usable transaction_id (rules 6.3).

    Args:
        conversions: Rows of `schema.CONVERSIONS`.
        sent: The same conversions with all texts as sent: these are hashed.
        ruleset: Gives the scope of deduplication.

    Returns:
        Rows of `schema.KEYS`.
    """
    ids = sent["transaction_id"]
    if ruleset.dedup_scope == "off" or ids.null_count() == len(ids):
        return _NO_KEYS
    is_key = ids.is_not_null() & ~placeholders.is_junk_id(ids)
    event = pl.col("event") if ruleset.dedup_scope == "event" else pl.lit(None, pl.String)
    transaction_key = pl.col("transaction_id").str.strip_chars()
    columns = [
        *("account_id", "integration", "match_key"),
        event.alias("event"),
        transaction_key.alias("transaction_key"),
    ]
    hashes = (
        sent.select(columns).filter(is_key).select(key_hash=stable_hash(*_KEY), match_digest=stable_hash("match_key"))
    )
    keys = conversions.select(*_COPIED, event=event, transaction_key=transaction_key).filter(is_key)
    return keys.with_columns(hashes).select(KEYS.names)


def keys_of(conversions: pl.DataFrame, staged: pl.DataFrame) -> pl.DataFrame:
    """Returns the keys of conversions from the columns of keys that conversions do not have.

    Args:
        conversions: Rows of `schema.CONVERSIONS`, or at least the columns `SHARED`.
        staged: `NOT_SHARED`, some of the conversions.

    Returns:
        Rows of `schema.KEYS`, in the order of `staged`.
    """
    shared = conversions.select(*_COPIED, transaction_key=pl.col("transaction_id").str.strip_chars())
    return staged.join(shared, on="conversion_id", how="left", maintain_order="left").select(KEYS.names)


def repeated_hashes(key_hashes: list[pl.Series]) -> pl.Series:
    """Returns the hashes that occur more than once; takes 9 bytes of memory for each key (`bench/README.md`).

    Args:
        key_hashes: Parts of the column `key_hash` of `schema.KEYS`.

    Returns:
        UInt64, distinct, ascending.
    """
    hashes = np.concatenate([part.to_numpy() for part in key_hashes] or [np.empty(0, np.uint64)])
    hashes.sort()
    return pl.Series(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]), dtype=pl.UInt64)


def find_duplicates(keys: pl.DataFrame, window: timedelta | None = None) -> pl.DataFrame:
    """Finds the conversions that repeat an earlier conversion.

    Of the records with one key, the earliest by received_at (null last), then source_digest, then record_no is kept.
    With a window, a record received after the end of the kept record's window is kept too and begins a new window; a
    record without received_at is never kept again.

    Args:
        keys: Rows of `schema.KEYS`; rows whose key occurs once may be left out.
        window: How long after the kept record a repetition counts as a duplicate; None means for ever.

    Returns:
        Rows of `DUPLICATES`.
    """
    if not keys.height:
        return DUPLICATES.to_frame()
    ordered = keys.sort(*_SENT_KEY, *_ORDER, nulls_last=True)
    if window is None:
        kept = ordered.select(pl.col("conversion_id").first().over(_SENT_KEY)).to_series()
    else:
        kept = _kept_in_window(ordered, window)
    compared = ("value", "currency", "match_digest")
    winners = ordered.select(
        pl.col("conversion_id").alias("duplicate_of"), *(pl.col(c).alias(f"{c}_kept") for c in compared)
    )
    agree = pl.all_horizontal(pl.col(column).eq_missing(pl.col(f"{column}_kept")) for column in compared)
    return (
        ordered.with_columns(duplicate_of=kept)
        .filter(pl.col("duplicate_of") != pl.col("conversion_id"))
        .join(winners, on="duplicate_of", how="left", maintain_order="left")
        .with_columns(duplicate_kind=pl.when(agree).then(pl.lit("identical")).otherwise(pl.lit("conflicting")))
        .select(DUPLICATES.names())
    )


def _kept_in_window(ordered: pl.DataFrame, window: timedelta) -> pl.Series:
    """Returns for each row the conversion_id of the kept record, with a window."""
    kept: list[str] = []
    rows = ordered.select(*_SENT_KEY, "received_at", "conversion_id").iter_rows()
    for _, group in groupby(rows, key=lambda row: row[: len(_SENT_KEY)]):
        since, winner = None, None
        for *_, received_at, conversion_id in group:
            is_past = received_at is not None and since is not None and received_at - since > window
            if winner is None or is_past:
                since, winner = received_at, conversion_id
            kept.append(winner)
    return pl.Series(kept, dtype=pl.String)
