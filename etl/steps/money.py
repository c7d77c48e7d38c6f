"""Reads values and currencies: as sent, as plainly meant, and from minor units (rules 4)."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.columnar.factorize import map_distinct
from etl.rules import value_parsing
from etl.rules.amount_repair import SHARED_SIGNS, RepairedAmount, repair_amount
from etl.rules.lost_separators import find_swallowed
from etl.rules.ruleset import Ruleset, fold
from etl.schema import MONEY
from etl.steps.field_resolution import Fields

_REPAIRED: Final = pl.Struct(dict(zip(RepairedAmount._fields, (MONEY, pl.String(), pl.String()), strict=True)))


def read_amounts(fields: Fields, ruleset: Ruleset, default_currency: str | None) -> pl.DataFrame:
    """Returns value, currency, currency_defaulted and what was meant, and value_text and currency_fault for findings.

    Source: "Conversion Value"; rules 4.1 to 4.3.
    """
    texts = fields.texts["value"]
    value = value_parsing.amount(texts)
    unread = texts.set(value.is_not_null(), None)
    sent = fields.texts["currency"]
    read = pl.Struct({"currency": pl.String, "fault": pl.String})
    currency = map_distinct(sent, value_parsing.read_currency, read).struct.unnest()
    repaired = map_distinct(unread, lambda text: _repaired(text, ruleset)._asdict(), _REPAIRED).struct.unnest()
    return (
        pl.DataFrame(
            {
                "value": value,
                "value_text": texts,
                "value_repaired": repaired["value"],
                "currency": currency["currency"].fill_null(pl.lit(default_currency, pl.String)),
                "currency_defaulted": sent.is_null(),
                "currency_fault": currency["fault"],
                "currency_repaired": repaired["currency"],
                "shared_sign": repaired["shared_sign"],
            }
        )
        .with_columns(currency_repaired=_currency_meant())
        .pipe(_scale_minor_units, fields, ruleset)
    )


def _scale_minor_units(amounts: pl.DataFrame, fields: Fields, ruleset: Ruleset) -> pl.DataFrame:
    """Divides values in minor units by the power of ten of their currency; null where that is unknown (rules 4.1a)."""
    if not ruleset.minor_units:
        return amounts
    is_minor = map_distinct(
        fields.param_names("value"), lambda name: fold(name) in ruleset.minor_unit_names, pl.Boolean()
    ).fill_null(False)
    currencies = amounts["currency"].set(~is_minor, None)
    scaled = [in_major_units(amounts[name], currencies, ruleset) for name in ("value", "value_repaired")]
    return amounts.with_columns(column.zip_with(is_minor, amounts[column.name]) for column in scaled)


def in_major_units(amounts: pl.Series, currencies: pl.Series, ruleset: Ruleset) -> pl.Series:
    """Divides amounts by the power of ten of their currency's minor unit; null where that is unknown (rules 4.1a)."""
    digits = dict(ruleset.minor_unit_digits)
    powers = map_distinct(
        currencies, lambda code: digits.get(code, value_parsing.minor_unit_digits(code)), pl.Int64()
    ).cast(pl.String)
    return value_parsing.amount(amounts.cast(pl.String) + "e-" + powers).alias(amounts.name)


def _repaired(text: str, ruleset: Ruleset) -> RepairedAmount:
    """Mends an unreadable amount; of one that swallowed other parameters only the number before them (rules 2.7)."""
    swallowed = find_swallowed(text, ruleset)
    if not swallowed:
        return repair_amount(text)
    plain = value_parsing.read_amount(swallowed.before)
    return RepairedAmount(repair_amount(swallowed.before).value if plain is None else plain)


def _currency_meant() -> pl.Expr:
    """Returns the currency that a value's text says; a shared sign means the row's own currency where that uses it."""
    meant = pl.col("currency_repaired")
    for row in SHARED_SIGNS:
        own = (
            pl.when(pl.col("currency").is_in(row.currencies))
            .then("currency")
            .otherwise(pl.lit(row.otherwise, pl.String))
        )
        meant = pl.when(pl.col("shared_sign") == row.sign).then(own).otherwise(meant)
    return meant
