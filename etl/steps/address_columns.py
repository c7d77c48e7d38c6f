"""Hides what is personal in columns of text: addresses, and in issues also what names announce (rules 9.1)."""

from __future__ import annotations

from typing import NewType

import polars as pl

from etl.columnar.string_buffers import lists_of
from etl.options import Pii
from etl.privacy.addresses import DROPPED, hide_addresses
from etl.privacy.shown_texts import shown_names, shown_texts
from etl.rules.ruleset import Ruleset
from etl.schema import is_sent

#: Rows that may be shown: what is personal in them is hidden, or was to be kept. Only this module makes them.
ShownRows = NewType("ShownRows", pl.DataFrame)


def hide_in_columns(rows: pl.DataFrame, pii: Pii, ruleset: Ruleset | None = None) -> ShownRows:
    """Replaces what is personal in all columns of text that come from the record, issues included.

    Args:
        rows: Rows of a table of `schema`, or of `schema.KEYS`.
        pii: `hash` writes hashes, `drop` makes such a text null, `keep` changes nothing.
        ruleset: Its aliases of personal traits are personal in issues too; by default the page's.
    """
    if pii == "keep" or not rows.height:
        return ShownRows(rows)
    texts = [rows[name] for name, dtype in rows.schema.items() if dtype == pl.String and is_sent(name)]
    hidden = [hide_addresses(column, pii) for column in texts]
    if "issues" in rows.columns:
        hidden.append(_hide_in_issues(rows["issues"], pii, ruleset or Ruleset()))
    return ShownRows(rows.with_columns(hidden))


def _hide_in_issues(issues: pl.Series, pii: Pii, ruleset: Ruleset) -> pl.Series:
    """Replaces what is personal in the parameters and details of issues."""
    inner = issues.list.explode(keep_nulls=False, empty_as_null=False).struct.unnest()
    if not inner.height:
        return issues
    hidden = inner.with_columns(
        shown_names(inner["parameter"], pii, ruleset), shown_texts(inner["detail"], pii, ruleset)
    )
    return lists_of(hidden.to_struct(), issues.list.len().to_numpy()).alias(issues.name)


def hide_in_names(counts: pl.DataFrame, pii: Pii, ruleset: Ruleset) -> ShownRows:
    """Replaces what is personal in counted names, and adds the counts of names that are equal then.

    Args:
        counts: source_digest, name, count.
        pii: `drop` makes a name with personal values `redacted`.
        ruleset: Its aliases of personal traits are personal too.
    """
    hidden = shown_names(counts["name"], pii, ruleset).fill_null(DROPPED)
    if hidden.equals(counts["name"]):
        return ShownRows(counts)
    merged = counts.with_columns(hidden).group_by(pl.exclude("count"), maintain_order=True)
    return ShownRows(merged.agg(pl.col("count").sum()))
