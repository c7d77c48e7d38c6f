"""Findings: what is odd about a conversion, said beside the plain columns and never changing them.

`ISSUES` gives every code its place in the fixed order. `RULES` are the findings that one conversion's own columns
show; the other steps hand theirs over as frames of the same four columns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar.string_buffers import lists_of
from etl.privacy import trait_hashes
from etl.rules import page
from etl.transform import placeholders
from etl.transform.field_resolution import Fields


class Issue(NamedTuple):
    """One finding: its code, what it means, the ruling it rests on."""

    code: str
    meaning: str
    source: str


#: In the order in which a conversion lists them.
ISSUES: Final = (
    Issue("not_scalar", "a recognised name was sent as an object or array, which counts as not sent", "1.5"),
    Issue("alias_conflict", "several parameters with different texts could have filled the field", "2.3"),
    Issue("near_miss_name", "nobody reads the parameter; a known name is one edit or its spelling away", "2.6"),
    Issue("unresolved_macro", "the value is a placeholder that the sender did not replace", "3.2"),
    Issue("null_word", "the value is a word for nothing", "3.2"),
    Issue("test_value", "the match key is a word people test with", "3.2"),
    Issue("double_encoded", "the decoded value still holds a percent escape", "3.2"),
    Issue("invalid_value", "the value is no plain number; see value_repaired", "4.1"),
    Issue("negative_value", "the value is below zero", "4.2"),
    Issue("invalid_currency", "the currency is not three letters", "4.3"),
    Issue("unknown_currency", "ISO 4217 does not list the currency as active", "4.3"),
    Issue("lead_by_default", "a positive value became a Lead because no type was sent", "5.3"),
    Issue("timestamp_milliseconds", "the timestamp is in milliseconds; see occurred_at_repaired", "6.2"),
    Issue("timestamp_microseconds", "the timestamp is in microseconds; see occurred_at_repaired", "6.2"),
    Issue("timestamp_iso8601", "the timestamp is an ISO 8601 text; see occurred_at_repaired", "6.2"),
    Issue("invalid_timestamp", "the timestamp cannot be read", "6.2"),
    Issue("future_timestamp", "it happened more than a day after it was received", "6.2"),
    Issue("prehashed_trait", "the trait is a digest already; it was not hashed again", "7.3"),
    Issue("passthrough_dropped", "the endpoint drops passthroughs past the fifth", "7.4"),
    Issue("malformed_items", "the items, or one of them, cannot be read", "8.1, 8.3"),
    Issue("invalid_item_price", "an item's price is no plain number", "8.2"),
    Issue("invalid_item_quantity", "an item's quantity is no plain number", "8.2"),
    Issue("items_total_mismatch", "the items' price × quantity do not add up to the value", "8.4"),
)

_ORDER: Final = pl.Enum([issue.code for issue in ISSUES])

#: One row a finding: the postback's row, the code, the parameter as spelled, what else there is to say.
FINDINGS: Final = pl.Schema({"row": pl.UInt32(), "code": _ORDER, "parameter": pl.String(), "detail": pl.String()})


class Rule(NamedTuple):
    """A finding as an expression over conversions: its code, when it applies, the parameter it is about, detail."""

    code: str
    applies: pl.Expr
    parameter: pl.Expr
    detail: pl.Expr


NOTHING: Final = pl.lit(None, pl.String())
_VALUE: Final = pl.col("value_param")

RULES: Final = (
    Rule(
        "invalid_value",
        pl.col("value_text").is_not_null() & pl.col("value").is_null(),
        _VALUE,
        pl.col("value_text"),
    ),
    Rule("negative_value", pl.col("value") < 0, _VALUE, NOTHING),
    Rule("invalid_currency", pl.col("currency_fault") == "invalid", pl.col("currency_param"), pl.col("currency")),
    Rule("unknown_currency", pl.col("currency_fault") == "unknown", pl.col("currency_param"), pl.col("currency")),
    Rule("lead_by_default", (pl.col("event_rule") == "automatic_lead") & (pl.col("value") > 0), _VALUE, NOTHING),
    *(
        Rule(code, pl.col("timestamp_fault") == code, pl.col("timestamp_param"), pl.col("timestamp_text"))
        for code in ("timestamp_milliseconds", "timestamp_microseconds", "timestamp_iso8601", "invalid_timestamp")
    ),
    Rule(
        "future_timestamp",
        (pl.col("occurred_at_rule") == "parameter")
        & (pl.col("occurred_at") - pl.col("received_at") > pl.duration(days=1)),
        pl.col("timestamp_param"),
        pl.col("timestamp_text"),
    ),
)


def findings(rows: pl.DataFrame, rules: tuple[Rule, ...] = RULES) -> list[pl.DataFrame]:
    """The findings of rules over a frame with column `row`: frames of `FINDINGS`, one a rule that applies."""
    truths = rows.select(rule.applies.fill_null(False).alias(str(i)) for i, rule in enumerate(rules))
    return [
        finding(rows.filter(truth).select("row", parameter=rule.parameter, detail=rule.detail), rule.code)
        for rule, truth in zip(rules, truths, strict=True)
        if truth.any()
    ]


def finding(rows: pl.DataFrame, code: str) -> pl.DataFrame:
    """Findings of one code from a frame with `row`, and `parameter` and `detail` where there is something to say."""
    missing = [NOTHING.alias(name) for name in ("parameter", "detail") if name not in rows.columns]
    return rows.with_columns(missing).select(
        pl.col("row").cast(pl.UInt32), pl.lit(code, _ORDER).alias("code"), "parameter", "detail"
    )


def list_issues(found: list[pl.DataFrame], height: int) -> pl.Series:
    """The findings of each row as `List(schema.ISSUE)`, in the fixed order, then as they were sent. Never null.

    Args:
        found: Frames of `FINDINGS`, each in the request's order.
        height: How many rows there are.
    """
    listed = (
        pl.concat([pl.DataFrame(schema=FINDINGS), *found])
        .unique(["row", "code", "parameter", "detail"], maintain_order=True)
        .sort("row", "code", maintain_order=True)
    )
    lengths = np.bincount(listed["row"].to_numpy(), minlength=height)
    issues = listed.select(pl.col("code").cast(pl.String), "parameter", "detail").to_struct()
    return lists_of(issues, lengths).alias("issues")


_TRAITS: Final = tuple(field.name for field in page.EXACT_FIELDS if field.source == "Customer Traits")


def findings_of(conversions: pl.DataFrame, fields: Fields) -> list[pl.DataFrame]:
    """What is odd about the fields of conversions: frames of `issues.FINDINGS`.

    Args:
        conversions: Of `build_conversions`, `match_key` as sent.
        fields: What their parameters fill; findings about other postbacks of the batch are left out later.
    """
    return [
        finding(fields.structures, "not_scalar"),
        finding(
            fields.conflicts.select("row", parameter="field", detail=pl.format("{} over {}", "winner", "losers")),
            "alias_conflict",
        ),
        finding(fields.near_misses.rename({"name": "parameter", "near_miss": "detail"}), "near_miss_name"),
        *_value_findings(conversions, fields),
        *findings(conversions),
    ]


def _value_findings(conversions: pl.DataFrame, fields: Fields) -> list[pl.DataFrame]:
    """Values that are present but plainly junk (rules 3.2), and traits that are digests already (7.3)."""
    core = list(fields.winners)[: list(fields.winners).index("conversion_type") + 1]
    is_macro = np.append(placeholders.is_macro(fields.params.values).to_numpy(), False)
    is_digest = np.append(trait_hashes.are_prehashed(fields.params.values).to_numpy(), False)
    column = conversions.get_column
    match = column("match_key"), partial(column, "match_param")
    transaction = column("transaction_id"), partial(column, "transaction_param")
    checks: list[tuple[str, pl.Series, Callable[[], pl.Series]]] = [
        *(
            ("unresolved_macro", pl.Series(is_macro[fields.winners[name]]), partial(fields.param, name))
            for name in core
        ),
        *(
            (code, is_junk(texts), param)
            for code, is_junk in (
                ("null_word", placeholders.is_null_word),
                ("double_encoded", placeholders.is_double_encoded),
            )
            for texts, param in (match, transaction)
        ),
        ("test_value", placeholders.is_test_value(match[0]), match[1]),
        *(
            (
                "prehashed_trait",
                pl.Series(is_digest[fields.winners[name]]),
                partial(_repeated, name, conversions.height),
            )
            for name in _TRAITS
        ),
    ]
    return [
        finding(pl.DataFrame([conversions["row"], param().alias("parameter")]).filter(is_found), code)
        for code, is_found, param in checks
        if is_found.any()
    ]


def _repeated(text: str, height: int) -> pl.Series:
    return pl.Series([text]).new_from_index(0, height)
