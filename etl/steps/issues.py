"""Lists the issues of conversions. Issues describe doubtful values; they never change other columns.

`ISSUES` lists all codes in their fixed order. `RULES` finds the issues that depend on a conversion's columns alone.
Other steps find further issues. Each step returns frames of `FINDINGS`; `list_issues` joins these to the issues column.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar.string_buffers import lists_of
from etl.privacy import trait_hashes
from etl.rules.lost_separators import find_swallowed
from etl.rules.ruleset import Ruleset
from etl.rules.timestamp_repair import UNITS
from etl.steps.field_resolution import Fields
from etl.steps.junk_values import TRAITS, Junk, find_junk
from etl.steps.met_conditions import find_met


class Issue(NamedTuple):
    """A kind of issue: its code, its meaning, the ruling it rests on."""

    code: str
    meaning: str
    source: str


#: All kinds of issues, in the order in which a conversion lists them.
ISSUES: Final = (
    Issue("not_scalar", "a recognised parameter was sent as an object or array, so it counts as not sent", "1.5"),
    Issue("alias_conflict", "several parameters with different texts could fill the field", "2.3"),
    Issue("near_miss_name", "the parameter is not read; its name is close to a known name", "2.6"),
    Issue("lost_separator", "the value holds another parameter, whose separator got lost", "2.7"),
    Issue("unresolved_macro", "the value is a macro that the sender did not replace", "3.2"),
    Issue("placeholder_word", "the value is the placeholder of a manual, such as YOUR_CLICK_ID", "3.2"),
    Issue("null_word", "the value is a word for a missing value, such as null", "3.2"),
    Issue("test_value", "the match key is a test value, such as test", "3.2"),
    Issue("double_encoded", "the decoded value still contains a percent escape", "3.2"),
    Issue("undecodable_text", "the value holds bytes that are not UTF-8", "3.2"),
    Issue("unusable_email", "the e-mail address has no @, nothing on one side of it, or a blank", "3.2"),
    Issue("unusable_phone", "the phone number has fewer than seven digits", "3.2"),
    Issue("invalid_value", "the value is not a plain number; see value_repaired", "4.1"),
    Issue("negative_value", "the value is below zero", "4.2"),
    Issue("currency_in_value", "the value's text says another currency; see currency_repaired", "4.1"),
    Issue("invalid_currency", "the currency is not three letters", "4.3"),
    Issue("unknown_currency", "ISO 4217 does not list the currency as active", "4.3"),
    Issue(
        "lead_by_default",
        "the value, as sent or repaired, is positive, but the event is Lead because no type was sent",
        "5.3",
    ),
    Issue("timestamp_milliseconds", "the timestamp is in milliseconds; see occurred_at_repaired", "6.2"),
    Issue("timestamp_microseconds", "the timestamp is in microseconds; see occurred_at_repaired", "6.2"),
    Issue("timestamp_nanoseconds", "the timestamp is in nanoseconds; see occurred_at_repaired", "6.2"),
    Issue("timestamp_iso8601", "the timestamp is an ISO 8601 text; see occurred_at_repaired", "6.2"),
    Issue(
        "timestamp_text", "the timestamp is a date as JavaScript or RFC 2822 print it; see occurred_at_repaired", "6.2"
    ),
    Issue("invalid_timestamp", "the timestamp cannot be read", "6.2"),
    Issue("future_timestamp", "the timestamp is more than a day after the time received", "6.2"),
    Issue("prehashed_trait", "the trait is already a digest; it was not hashed again", "7.3"),
    Issue("passthrough_dropped", "the endpoint drops passthroughs past the fifth", "7.4"),
    Issue("malformed_items", "the items array, or an item in it, cannot be read", "8.1, 8.3"),
    Issue("invalid_item_price", "an item's price is not a plain number", "8.2"),
    Issue("invalid_item_quantity", "an item's quantity is not a plain number", "8.2"),
    Issue("items_total_mismatch", "the items' price × quantity do not add up to the value", "8.4"),
    Issue("test_order", "the record is a test of its sender, as the ruleset says", "11.2"),
)

_ORDER: Final = pl.Enum([issue.code for issue in ISSUES])

#: A finding is an issue of one postback: the postback's row, the code, the parameter as spelled, a detail.
FINDINGS: Final = pl.Schema({"row": pl.UInt32(), "code": _ORDER, "parameter": pl.String(), "detail": pl.String()})


class Rule(NamedTuple):
    """A rule that finds issues: the code, and expressions over conversions for condition, parameter and detail."""

    code: str
    applies: pl.Expr
    parameter: pl.Expr
    detail: pl.Expr


_NULL: Final = pl.lit(None, pl.String())
_VALUE: Final = pl.col("value_param")

RULES: Final = (
    Rule(
        "invalid_value",
        pl.col("value_text").is_not_null() & pl.col("value").is_null(),
        _VALUE,
        pl.col("value_text"),
    ),
    Rule("negative_value", pl.col("value") < 0, _VALUE, _NULL),
    Rule("currency_in_value", pl.col("currency_repaired") != pl.col("currency"), _VALUE, pl.col("currency_repaired")),
    Rule("invalid_currency", pl.col("currency_fault") == "invalid", pl.col("currency_param"), pl.col("currency")),
    Rule("unknown_currency", pl.col("currency_fault") == "unknown", pl.col("currency_param"), pl.col("currency")),
    Rule(
        "lead_by_default",
        (pl.col("event_rule") == "automatic_lead") & (pl.coalesce("value", "value_repaired") > 0),
        _VALUE,
        _NULL,
    ),
    *(
        Rule(code, pl.col("timestamp_fault") == code, pl.col("timestamp_param"), pl.col("timestamp_text"))
        for code in (*(code for _, code in UNITS), "timestamp_iso8601", "timestamp_text", "invalid_timestamp")
    ),
    Rule(
        "future_timestamp",
        (pl.col("occurred_at_rule") == "parameter")
        & (pl.col("occurred_at") - pl.col("received_at") > pl.duration(days=1)),
        pl.col("timestamp_param"),
        pl.col("timestamp_text"),
    ),
)


def apply_rules(rows: pl.DataFrame, rules: tuple[Rule, ...] = RULES) -> list[pl.DataFrame]:
    """Applies rules to a frame with a column `row`; returns a frame of `FINDINGS` for each rule with findings."""
    truths = rows.select(rule.applies.fill_null(False).alias(str(i)) for i, rule in enumerate(rules))
    return [
        as_findings(rows.filter(truth).select("row", parameter=rule.parameter, detail=rule.detail), rule.code)
        for rule, truth in zip(rules, truths, strict=True)
        if truth.any()
    ]


def as_findings(rows: pl.DataFrame, code: str) -> pl.DataFrame:
    """Makes each row of a frame a finding of one code; `parameter` and `detail` are null if the frame lacks them."""
    if not rows.height:
        return FINDINGS.to_frame()
    missing = [_NULL.alias(name) for name in ("parameter", "detail") if name not in rows.columns]
    return rows.with_columns(missing).select(
        pl.col("row").cast(pl.UInt32), pl.lit(code, _ORDER).alias("code"), "parameter", "detail"
    )


def list_issues(found: list[pl.DataFrame], height: int) -> pl.Series:
    """Collects the findings of each postback in a list, ordered by code, then as in the frames.

    Args:
        found: Frames of `FINDINGS`, each in the order of the request.
        height: Number of postbacks.

    Returns:
        `List(schema.ISSUE)`, one list for each postback, never null.
    """
    listed = (
        pl.concat([pl.DataFrame(schema=FINDINGS), *found])
        .unique(["row", "code", "parameter", "detail"], maintain_order=True)
        .sort("row", "code", maintain_order=True)
    )
    lengths = np.bincount(listed["row"].to_numpy(), minlength=height)
    issues = listed.select(pl.col("code").cast(pl.String), "parameter", "detail").to_struct()
    return lists_of(issues, lengths).alias("issues")


def find_issues(conversions: pl.DataFrame, fields: Fields, ruleset: Ruleset) -> list[pl.DataFrame]:
    """Finds the issues of the fields of conversions.

    Args:
        conversions: Output of `build_conversions`; `match_key` as sent.
        fields: Fields of these conversions. Their unfiltered parts also give findings for other postbacks of the
            batch, which the caller drops.
        ruleset: Gives the names that a value may have swallowed.

    Returns:
        Frames of `FINDINGS`.
    """
    return [
        as_findings(fields.structures, "not_scalar"),
        as_findings(
            fields.conflicts.select("row", parameter="field", detail=pl.format("{} over {}", "winner", "losers")),
            "alias_conflict",
        ),
        as_findings(fields.near_misses.rename({"name": "parameter", "near_miss": "detail"}), "near_miss_name"),
        *_lost_separators(conversions, fields, ruleset),
        *_value_findings(conversions, fields),
        *apply_rules(conversions),
        *_test_orders(fields, ruleset),
    ]


def _lost_separators(conversions: pl.DataFrame, fields: Fields, ruleset: Ruleset) -> list[pl.DataFrame]:
    """Finds the parameters that winning values swallowed (rules 2.7)."""
    found: list[tuple[int, str, str]] = []
    for field in fields.winners:
        suspects = fields.is_junk("lost_separator", field)
        if not suspects.any():
            continue
        columns = conversions["row"], fields.param_names(field), fields.texts[field]
        for row, parameter, text in zip(*(column.filter(suspects) for column in columns), strict=True):
            swallowed = find_swallowed(text, ruleset)
            found += [(row, parameter, name) for name in (swallowed.names if swallowed else ())]
    rows = pl.DataFrame(found, schema={"row": pl.UInt32, "parameter": pl.String, "detail": pl.String}, orient="row")
    return [as_findings(rows, "lost_separator")]


def _test_orders(fields: Fields, ruleset: Ruleset) -> list[pl.DataFrame]:
    """Finds the postbacks that are tests of their sender (rules 11.2), each by its first sign."""
    if not ruleset.test_order:
        return []
    met = find_met(fields.params, ruleset.test_order).unique("row", keep="first", maintain_order=True)
    return [as_findings(met.rename({"name": "parameter", "value": "detail"}), "test_order")]


def _value_findings(conversions: pl.DataFrame, fields: Fields) -> list[pl.DataFrame]:
    """Finds values that are plainly junk (rules 3.2), and traits that are digests already (rules 7.3)."""
    is_digest = np.append(trait_hashes.are_prehashed(fields.params.values).to_numpy(), False)
    prehashed = (
        Junk("prehashed_trait", _repeat(name, conversions.height), pl.Series(is_digest[fields.winners[name]]))
        for name in (TRAITS if is_digest.any() else ())
    )
    return [
        as_findings(
            pl.DataFrame([conversions["row"], junk.parameter.alias("parameter")]).filter(junk.is_found), junk.code
        )
        for junk in (*find_junk(fields, conversions), *prehashed)
        if junk.is_found.any()
    ]


def _repeat(text: str, height: int) -> pl.Series:
    """Returns a column that repeats a text."""
    return pl.Series([text]).new_from_index(0, height)
