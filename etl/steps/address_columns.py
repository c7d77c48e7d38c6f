"""Hides the e-mail addresses in columns of text that are not for one (rules 9.1)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.columnar.string_buffers import lists_of
from etl.options import Pii
from etl.privacy.addresses import DROPPED, MARK, hide_addresses
from etl.privacy.redactor import NAME_LENGTH, PLAIN_NAME, Redactor
from etl.rules.ruleset import Ruleset

#: The columns of all tables whose texts come from the record; `source`, the path of the input, is the user's own.
_SENT: Final = frozenset(
    (
        *("account_id", "integration", "match_key", "match_param", "click_id", "ref_id", "event", "conversion_type"),
        *("value_param", "currency", "transaction_id", "transaction_key", "brand_name", "country", "user_agent"),
        *("item_id", "name", "variant", "value", "message", "suggestion", "http_method"),
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


def hide_in_names(counts: pl.DataFrame, pii: Pii, ruleset: Ruleset) -> pl.DataFrame:
    """Replaces what is personal in counted names, and adds the counts of names that are equal then.

    A name with marks that names do not have is a part of a body that is no form, such as XML.

    Args:
        counts: source_digest, name, count.
        pii: `drop` makes a name with personal values `redacted`.
        ruleset: Its aliases of personal traits are personal too.
    """
    names = counts["name"]
    is_name = names.str.contains(f"^{PLAIN_NAME.pattern}$") & (names.str.len_chars() <= NAME_LENGTH)
    texts = (~is_name).arg_true()
    if pii == "keep":
        return counts
    redactor = Redactor(ruleset, pii)
    templates = [DROPPED if pii == "drop" and MARK in one else one for one in map(redactor.name, names.gather(texts))]
    hidden = hide_addresses(names.clone().scatter(texts, redactor.fill(templates)), pii).fill_null(DROPPED)
    if hidden.equals(names):
        return counts
    return counts.with_columns(hidden).group_by(pl.exclude("count"), maintain_order=True).agg(pl.col("count").sum())
