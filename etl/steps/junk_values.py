"""Finds winning values that are plainly junk: placeholders, null words, undecodable texts (rules 3.2).

A macro or a null word is only that: it is neither encoded twice nor unusable. A trait that is junk is not hashed.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Final, NamedTuple

import polars as pl

from etl.privacy import trait_hashes
from etl.rules import page, placeholders
from etl.steps.field_resolution import IDENTITY_EMAIL, Fields

TRAITS: Final = tuple(field.name for field in page.EXACT_FIELDS if field.source == "Customer Traits")

#: The traits that `full_name` fills where neither of them was sent (rules 7.2).
NAME_PARTS: Final = ("first_name", "last_name")


class Junk(NamedTuple):
    """One kind of junk in one field: the issue code, and for each postback the parameter and whether it is junk."""

    code: str
    parameter: pl.Series
    is_found: pl.Series


def find_junk(fields: Fields, conversions: pl.DataFrame) -> list[Junk]:
    """Finds the junk among the winning values of conversions.

    Args:
        fields: Fields of the conversions.
        conversions: match_key as sent, match_param, transaction_id and transaction_param.

    Source: rules 3.2.
    """
    core = list(fields.winners)[: list(fields.winners).index("conversion_type") + 1]
    match, transaction = (
        (conversions[text], conversions[parameter])
        for text, parameter in (("match_key", "match_param"), ("transaction_id", "transaction_param"))
    )
    of_ids = (
        ("placeholder_word", placeholders.is_placeholder_word, (match, transaction)),
        ("null_word", placeholders.is_null_id, (match, transaction)),
        ("test_value", placeholders.is_test_value, (match,)),
        ("double_encoded", placeholders.is_double_encoded, (match, transaction)),
    )
    of_fields = (
        *(("unresolved_macro", field, fields.is_junk("unresolved_macro", field)) for field in (*core, *TRAITS)),
        *(("null_word", trait, fields.is_junk("null_word", trait)) for trait in TRAITS),
        *(("undecodable_text", field, _is_undecodable(fields, field)) for field in (*core, *TRAITS)),
        ("unusable_email", IDENTITY_EMAIL, is_unusable(fields, IDENTITY_EMAIL)),
        ("unusable_email", "email", is_unusable(fields, "email")),
        ("unusable_phone", "phone", is_unusable(fields, "phone")),
    )
    return [
        *(Junk(code, parameter, is_found(texts)) for code, is_found, ids in of_ids for texts, parameter in ids),
        *(Junk(code, fields.param_names(field), is_found) for code, field, is_found in of_fields if is_found.any()),
    ]


def is_unhashable(fields: Fields, trait: str) -> pl.Series:
    """Returns for each postback whether a trait is junk, or is a part of a full name that is junk (rules 3.2, 7.2)."""
    own = reduce(or_, (fields.is_junk(code, trait) for code in ("unresolved_macro", "null_word", "undecodable_text")))
    if trait in NAME_PARTS:
        return own | (is_unhashable(fields, "full_name") & _uses_full_name(fields))
    return own | is_unusable(fields, trait)


def is_unusable(fields: Fields, field: str) -> pl.Series:
    """Returns for each postback whether an e-mail address or phone number is none; false for other traits."""
    if field not in _FORMS:
        return fields.is_junk("", field)
    texts = fields.texts[field]
    is_null = placeholders.is_null_id if field == IDENTITY_EMAIL else placeholders.is_null_word
    is_other = fields.is_junk("unresolved_macro", field) | is_null(texts)
    return ~(trait_hashes.are_usable(_FORMS[field], texts) | is_other)


#: The trait whose form each field must have to be usable.
_FORMS: Final = {IDENTITY_EMAIL: "email", "email": "email", "phone": "phone"}


def _is_undecodable(fields: Fields, field: str) -> pl.Series:
    """Returns for each postback whether a value that is used holds bytes of another encoding."""
    is_found = fields.is_junk("undecodable_text", field)
    return is_found & _uses_full_name(fields) if field == "full_name" else is_found


def _uses_full_name(fields: Fields) -> pl.Series:
    """Returns for each postback whether full_name fills the names."""
    return pl.Series((fields.winners["first_name"] < 0) & (fields.winners["last_name"] < 0))
