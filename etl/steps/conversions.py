"""Derives the columns of conversions from fields: identity, event, value, time and traits.

`judge_postbacks` processes all postbacks, with `decide_identity`, `decide_event` and `money.read_amounts`. Then
`build_conversions` processes the accepted postbacks, with `read_times` and `describe_person`. Each function returns one
row for each postback and looks at no other row.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from etl.columnar.factorize import map_distinct
from etl.options import Options
from etl.privacy import trait_hashes
from etl.rules import page, value_parsing
from etl.rules.ruleset import ASCII_LOWER, Ruleset
from etl.rules.timestamp_repair import repair_timestamp
from etl.schema import INSTANT
from etl.steps.field_resolution import IDENTITY_EMAIL, Fields
from etl.steps.junk_values import is_unhashable
from etl.steps.money import read_amounts

#: Identity fields in order of precedence: match_type, and the column of `Fields.texts` (rules 3.1).
IDENTITIES: Final = (("click_id", "click_id"), ("ref_id", "ref_id"), ("email", IDENTITY_EMAIL))


_HASHED_TRAITS: Final = tuple(dict.fromkeys(row.trait for row in trait_hashes.HASHES))


def judge_postbacks(fields: Fields, ruleset: Ruleset, options: Options) -> pl.DataFrame:
    """Decides identity, event and value of every postback, and whether each reason for a rejection applies.

    Args:
        fields: The fields of all postbacks of the batch.
        ruleset: The rules.
        options: Gives the default currency.

    Returns:
        One row for each postback: row UInt32, match_type, match_key (as sent), match_param, event, event_rule,
        conversion_type, transaction_id, the columns of `read_amounts`, and a Boolean for each of
        `rejections.REFUSAL_REASONS`.
    """
    return pl.concat(
        [
            decide_identity(fields),
            decide_event(fields, ruleset),
            read_amounts(fields, ruleset, options.default_currency),
            fields.texts.select("conversion_type", "transaction_id"),
        ],
        how="horizontal",
    ).with_columns(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
        missing_identity=pl.col("match_key").is_null(),
        unknown_conversion_type=pl.col("event").is_null(),
    )


def build_conversions(
    postbacks: pl.DataFrame, verdicts: pl.DataFrame, fields: Fields, ruleset: Ruleset, options: Options
) -> pl.DataFrame:
    """Builds the columns of accepted postbacks that depend on their parameters.

    Args:
        postbacks: The accepted postbacks: rows of `schema.REQUESTS`.
        verdicts: Rows of `judge_postbacks` for these postbacks.
        fields: Fields of these postbacks.
        ruleset: Gives the unit of timestamps.
        options: Gives the treatment of personal values.

    Returns:
        One row for each postback: the columns of `schema.CONVERSIONS` without ids, lineage, counts and issues, plus
        the columns of `judge_postbacks` and those that `find_issues` and `dedup_keys` need.
    """
    return pl.concat(
        [
            verdicts,
            read_times(fields, postbacks["received_at"], ruleset),
            describe_person(fields, options),
            pl.DataFrame(
                [
                    *fields.texts.select("click_id", "ref_id", "brand_name", "country"),
                    fields.param_names("value").alias("value_param"),
                    fields.param_names("currency").alias("currency_param"),
                    fields.param_names("timestamp").alias("timestamp_param"),
                    fields.param_names("transaction_id").alias("transaction_param"),
                    postbacks["received_at"],
                ]
            ),
        ],
        how="horizontal",
    )


def decide_identity(fields: Fields) -> pl.DataFrame:
    """Returns match_type, match_key and match_param of each postback; null where no field identifies the visitor.

    Source: "Identity Parameters"; rules 3.1.
    """
    places = np.full(fields.texts.height, -1)
    kinds = np.full(fields.texts.height, -1)
    for kind, (_, column) in reversed(list(enumerate(IDENTITIES))):
        is_sent = fields.winners[column] >= 0
        places[is_sent] = fields.winners[column][is_sent]
        kinds[is_sent] = kind
    return pl.DataFrame(
        {
            "match_type": pl.Series([*(name for name, _ in IDENTITIES), None], dtype=pl.String)[kinds],
            "match_key": pl.select(pl.coalesce(fields.texts[column] for _, column in IDENTITIES)).to_series(),
            "match_param": fields.names_at(places),
        }
    )


def decide_event(fields: Fields, ruleset: Ruleset) -> pl.DataFrame:
    """Returns event and event_rule of each postback; the event is null where the conversion_type is unknown.

    Source: "Event Classification"; rules 5.1 to 5.3.
    """
    types = fields.texts["conversion_type"]
    known = dict(ruleset.events)
    is_trimmed = ruleset.conversion_type_match == "trimmed"

    def mapped(text: str) -> str | None:
        return known.get((text.strip(page.WHITE_SPACE) if is_trimmed else text).translate(ASCII_LOWER))

    has_purchase_value = np.zeros(len(types), np.bool_)
    commissions = np.flatnonzero(fields.meaning("is_purchase_alias") & ~fields.params.is_structure)
    is_positive = value_parsing.is_positive_number(fields.params.values.gather(commissions)).to_numpy()
    has_purchase_value[fields.params.rows[commissions[is_positive]]] = True
    rules = (
        (
            "event_name",
            pl.col("event_name").is_not_null(),
            pl.coalesce("listed", pl.col("event_name").str.strip_chars()),
        ),
        ("conversion_type", pl.col("conversion_type").is_not_null(), pl.col("mapped")),
        ("automatic_commission", pl.col("has_purchase_value"), pl.lit(page.AUTOMATIC_PURCHASE)),
        ("automatic_lead", pl.lit(value=True), pl.lit(page.AUTOMATIC_DEFAULT)),
    )
    names = fields.texts["event_name"]
    is_listed = ruleset.event_name_match == "listed"
    listed = map_distinct(names, mapped) if is_listed else pl.repeat(None, len(names), dtype=pl.String, eager=True)
    event = event_rule = pl.lit(None, pl.String)
    for name, applies, found in reversed(rules):
        event = pl.when(applies).then(found).otherwise(event)
        event_rule = pl.when(applies).then(pl.lit(name)).otherwise(event_rule)
    return (
        fields.texts.select("event_name", "conversion_type")
        .with_columns(
            mapped=map_distinct(types, mapped), listed=listed, has_purchase_value=pl.Series(has_purchase_value)
        )
        .select(event=event, event_rule=event_rule)
    )


def read_times(fields: Fields, received_at: pl.Series, ruleset: Ruleset) -> pl.DataFrame:
    """Returns occurred_at, its rule, occurred_at_repaired, and timestamp_text and timestamp_fault for findings.

    With `timestamp_unit = "milliseconds"`, timestamps in seconds count too; no number is an instant in both units.

    Source: "Transaction and Timing"; rules 6.2.
    """
    texts = fields.texts["timestamp"]
    instant = value_parsing.epoch_instant(texts)
    if ruleset.timestamp_unit == "milliseconds":
        instant = instant.fill_null(value_parsing.epoch_instant(value_parsing.thousandth(texts)))
    other = pl.Struct({"fault": pl.String, "instant": INSTANT})
    repaired = map_distinct(
        texts.set(instant.is_not_null(), None),
        lambda text: dict(zip(("fault", "instant"), repair_timestamp(text), strict=True)),
        other,
    ).struct.unnest()
    return pl.DataFrame(
        {
            "occurred_at": instant.fill_null(received_at),
            "occurred_at_rule": pl.Series(["received", "parameter"]).gather(instant.is_not_null().cast(pl.UInt32)),
            "occurred_at_repaired": repaired["instant"],
            "timestamp_text": texts,
            "timestamp_fault": repaired["fault"],
        }
    )


def describe_person(fields: Fields, options: Options) -> pl.DataFrame:
    """Returns the traits, `name_rule` and the hashes; `country` as sent is not among them.

    The first and last name may come from `full_name`; `name_rule` says so. Traits are null unless `--pii keep`, hashes
    are null with `--pii drop`.

    A trait that is junk has no hash.

    Source: "Customer Traits"; rules 3.2, 7.1, 7.2, 9.
    """
    as_sent = ("email", "phone", "birthdate", "city", "state", "zipcode", "country")
    person = fields.texts.select(*as_sent).with_columns(*_names(fields.texts))
    if options.pii == "drop":
        hashed = person.with_columns(pl.lit(None, pl.String).alias(row.column) for row in trait_hashes.HASHES)
    else:
        junk = {name: found for name in _HASHED_TRAITS if (found := is_unhashable(fields, name)).any()}
        usable = person.with_columns(person[name].set(found, None) for name, found in junk.items())
        hashed = person.with_columns(trait_hashes.hash_columns(usable))
    personal = [name for name in page.PERSONAL_TRAITS if name in hashed.columns]
    if options.pii != "keep":
        hashed = hashed.with_columns(pl.lit(None, pl.String).alias(name) for name in personal)
    return hashed.drop("country")


def protect_match_key(conversions: pl.DataFrame, options: Options) -> pl.DataFrame:
    """Replaces match keys that are e-mail addresses by their hash, or by null with `--pii drop` (rules 9.3)."""
    is_email = conversions["match_type"] == "email"
    if options.pii == "keep" or not is_email.any():
        return conversions
    addresses = conversions["match_key"].set(~is_email.fill_null(False), None)
    hashed = trait_hashes.sha256_of(trait_hashes.HASH_OF["email"], addresses)
    protected = hashed if options.pii == "hash" else hashed.clear(len(hashed))
    return conversions.with_columns(match_key=protected.zip_with(is_email.fill_null(False), conversions["match_key"]))


def _names(texts: pl.DataFrame) -> list[pl.Series]:
    """Returns first_name, last_name and name_rule: names as sent, else split from full_name (rules 7.2)."""
    first, last, full = texts.select("first_name", "last_name", "full_name")
    has_parts = first.is_not_null() | last.is_not_null()
    parts = pl.Struct({"first_name": pl.String, "last_name": pl.String})
    split = map_distinct(full.set(has_parts, None), _split_name, parts).struct.unnest()
    has_split = split["first_name"].is_not_null() | split["last_name"].is_not_null()
    rules = pl.select(pl.when(has_parts).then(pl.lit("parts")).when(has_split).then(pl.lit("full_name"))).to_series()
    return [first.fill_null(split["first_name"]), last.fill_null(split["last_name"]), rules.alias("name_rule")]


def _split_name(text: str) -> dict[str, str | None]:
    """Splits a full name: `Last, First` at the comma, else at the first blank."""
    if text.count(",") == 1:
        last, first = text.split(",")
    else:
        first, _, last = " ".join(_words(text)).partition(" ")
    return {"first_name": " ".join(_words(first)) or None, "last_name": " ".join(_words(last)) or None}


def _words(text: str) -> list[str]:
    """Splits a text at white space."""
    blanks = dict.fromkeys(map(ord, page.WHITE_SPACE), " ")
    return [word for word in text.translate(blanks).split(" ") if word]
