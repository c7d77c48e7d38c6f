"""Hides the e-mail addresses in columns of text that are not for one (rules 9.1)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.columnar.string_buffers import lists_of
from etl.options import Pii
from etl.privacy.addresses import DROPPED, hide_addresses

#: The columns of all tables whose texts come from the record; `source`, the path of the input, is the user's own.
_SENT: Final = frozenset(
    (
        *("account_id", "integration", "match_key", "match_param", "click_id", "ref_id", "event", "conversion_type"),
        *("value_param", "currency", "transaction_id", "transaction_key", "brand_name", "country", "user_agent"),
        *("item_id", "name", "variant", "value", "message", "suggestion"),
    )
)


def hide_in_columns(rows: pl.DataFrame, pii: Pii) -> pl.DataFrame:
    """Replaces the addresses in all columns of text that come from the record, issues included.

    Args:
        rows: Rows of a table of `schema`, or of `schema.KEYS`.
        pii: `hash` writes hashes, `drop` makes such a text null, `keep` changes nothing.
    """
    if pii == "keep" or not rows.height:
        return rows
    texts = [rows[name] for name in rows.columns if name in _SENT and rows[name].dtype == pl.String]
    hidden = [hide_addresses(column, pii) for column in texts]
    if "issues" in rows.columns:
        hidden.append(_hide_in_issues(rows["issues"], pii))
    return rows.with_columns(hidden)


def _hide_in_issues(issues: pl.Series, pii: Pii) -> pl.Series:
    """Replaces the addresses in the parameters and details of issues."""
    inner = issues.list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()
    if not inner.height:
        return issues
    hidden = inner.with_columns(hide_addresses(inner[name], pii) for name in ("parameter", "detail"))
    return lists_of(hidden.to_struct(), issues.list.len().to_numpy()).alias(issues.name)


def hide_in_names(counts: pl.DataFrame, pii: Pii) -> pl.DataFrame:
    """Replaces the addresses in counted names, and adds the counts of names that are equal then.

    Args:
        counts: name, count.
        pii: `drop` makes a name with an address `redacted`.
    """
    hidden = hide_addresses(counts["name"], pii)
    if hidden is counts["name"] or pii == "keep":
        return counts
    named = counts.with_columns(name=hidden.fill_null(DROPPED))
    return named.group_by("name", maintain_order=True).agg(pl.col("count").sum())
