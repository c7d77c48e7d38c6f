"""Finds which postbacks a store has recorded already, by what deduplication compares (rules 6.3)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.reports.audit.failures import usable_ids
from etl.reports.audit.tables import INTEGRATION_KEYS
from etl.rules.ruleset import Ruleset
from etl.runner.published_tables import Published, read

#: What two conversions without a transaction id share if one repeats the other.
_MATCH: Final = ("event", "match_key", "value", "currency")
#: The columns of a key; its id is null if it has no transaction id that can repeat another.
KEY_COLUMNS: Final = (*INTEGRATION_KEYS, *_MATCH, "transaction_id")


def add_ids(conversions: pl.DataFrame, ruleset: Ruleset) -> pl.DataFrame:
    """Adds `id`, the transaction id that deduplication compares; null if it compares none."""
    is_off = ruleset.dedup_scope == "off"
    ids = usable_ids(conversions["transaction_id"])
    return conversions.with_columns(ids.clear(len(ids)).alias("id") if is_off else ids.alias("id"))


def find_recorded(published: Published, keys: pl.DataFrame, ruleset: Ruleset) -> set[int]:
    """Finds the postbacks that the endpoint recorded, by a request that it did not answer with an error.

    Postbacks with an id are found by it; those without by match key, event, value and currency.

    Args:
        published: The tables. The duplicates among their rejections were recorded, too, if their request succeeded.
        keys: place, id, and `KEY_COLUMNS`; a postback may have several rows, such as with personal values whole and
            hashed.
        ruleset: Gives the scope of deduplication.

    Returns:
        The places of those postbacks.
    """
    is_served = pl.col("http_status").fill_null(0) < 400
    duplicates = published.rejections.filter(pl.col("reason") == "duplicate_transaction")
    recorded = pl.concat([rows.filter(is_served).select(KEY_COLUMNS) for rows in (published.conversions, duplicates)])
    recorded = recorded.with_columns(
        id=pl.col("transaction_id").map_batches(usable_ids, return_dtype=pl.String, is_elementwise=True)
    )
    by_id = (*INTEGRATION_KEYS, "id", *(["event"] if ruleset.dedup_scope == "event" else []))
    found: set[int] = set()
    for wanted, on, column in (
        (keys.filter(pl.col("id").is_not_null()), by_id, "id"),
        (keys.filter(pl.col("id").is_null()), (*INTEGRATION_KEYS, *_MATCH), "match_key"),
    ):
        if wanted.height:
            near = recorded.filter(pl.col(column).is_in(wanted[column].unique().implode()))
            near = near if column == "id" else near.filter(pl.col("id").is_null())
            found |= set(wanted.join(read(near.select(on).unique()), on=on, how="semi", nulls_equal=True)["place"])
    return found
