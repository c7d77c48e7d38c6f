"""Hashes personal traits: the normal form that the ad platforms document, then SHA-256 (rules 9.2).

Normal forms follow Meta's customer-information document. Google's differ for e-mail (dots and `+suffix` are removed for
gmail.com and googlemail.com) and phone (E.164, with `+`). A value that is already a digest is not hashed again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import cache
from importlib import resources
from itertools import groupby
from typing import Final, NamedTuple

import polars as pl
import polars_hash as plh

from etl.columnar import json_codec
from etl.columnar.factorize import factorize, map_distinct
from etl.rules import placeholders
from etl.rules.page import WHITE_SPACE

#: Codes of countries and of US states by their names in lower case, from ISO 3166 (`tests/test_code_tables.py`).
COUNTRIES: Final = resources.files(__package__) / "countries.json"

_SHORTEST_DIGEST: Final = 32

#: A usable e-mail address has no blank and something on both sides of its last `@`; a phone number has seven digits.
_USABLE: Final = {"email": r"^\s*\S+@[^@\s]+\s*$", "phone": r"^(?:[^0-9]*[0-9]){7}"}

_IS_DIGEST: Final = pl.col("text").str.strip_chars().str.contains(r"^(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{32})$")


class TraitHash(NamedTuple):
    """A hash column: its name, its trait, the function that normalises texts, and a variant for people in the US."""

    column: str
    trait: str
    normalise: Callable[[pl.Series], pl.Series]
    normalise_in_us: Callable[[pl.Series], pl.Series] | None = None


def sha256_of(trait_hash: TraitHash, texts: pl.Series, countries: pl.Series | None = None) -> pl.Series:
    """Returns the SHA-256 (hex) of each text's normal form; a digest itself, in lower case; null for null or empty.

    Args:
        trait_hash: A row of HASHES.
        texts: String, as sent.
        countries: For each text the person's country, as sent; the forms of states and zip codes depend on it.
    """
    us = is_us(countries) if countries is not None and trait_hash.normalise_in_us else None
    return _hash_columns((trait_hash,), texts, us)[0]


def digests_of(values: pl.DataFrame) -> pl.Series:
    """Returns the digest of each value of a trait, as in the trait's first hash column; null where it has none.

    Few values cost most by the number of calls of polars, so that all traits are hashed together.

    Args:
        values: trait, text (as sent) and country (of the person, as sent).
    """
    parts = values.with_columns(text=values["text"].set(are_junk(values["text"]), None)).with_row_index("place")
    whole = pl.concat(_with_forms(part) for part in parts.partition_by("trait")).sort("place")
    return _digests(whole["form"], whole["text"])


def _with_forms(values: pl.DataFrame) -> pl.DataFrame:
    """Adds the normal forms of the values of one trait, column `form`; a text that has none becomes null."""
    trait, texts = values["trait"][0], values["text"]
    row = HASH_OF.get(trait)
    if row is None:
        return values.with_columns(text=pl.lit(None, pl.String), form=pl.lit(None, pl.String))
    usable = texts.set(~are_usable(trait, texts), None) if trait in _USABLE else texts
    forms = row.normalise(usable)
    if row.normalise_in_us is not None and (us := is_us(values["country"])).any():
        forms = row.normalise_in_us(usable).zip_with(us, forms)
    return values.with_columns(usable, forms.alias("form"))


def hash_columns(person: pl.DataFrame) -> list[pl.Series]:
    """Returns all columns of HASHES.

    Args:
        person: One row for each person: a column for each trait, as sent.
    """
    us = is_us(person["country"])
    by_trait = groupby(HASHES, key=lambda row: row.trait)
    return [column for trait, rows in by_trait for column in _hash_columns(tuple(rows), person[trait], us)]


def _hash_columns(rows: tuple[TraitHash, ...], texts: pl.Series, us: pl.Series | None) -> list[pl.Series]:
    """Returns the hash columns of one trait. A text with the same normal form in two columns is hashed once."""
    if texts.null_count() == len(texts):
        return [pl.Series(row.column, [None], dtype=pl.String).new_from_index(0, len(texts)) for row in rows]
    distinct, numbers = factorize(texts)
    forms = rows[0].normalise(distinct)
    digests = first = _digests(forms, distinct)
    columns = []
    for row in rows:
        if row is not rows[0]:
            others = row.normalise(distinct)
            differs = others.ne_missing(forms).arg_true()
            digests = first.clone().scatter(differs, _digests(others.gather(differs), distinct.gather(differs)))
        column = digests[numbers]
        if row.normalise_in_us is not None and us is not None and us.any():
            column = _digests(row.normalise_in_us(distinct), distinct)[numbers].zip_with(us, column)
        columns.append(column.alias(row.column))
    return columns


def are_prehashed(texts: pl.Series) -> pl.Series:
    """Returns whether each trimmed text is 64 or 32 hex digits (rules 7.3); false for null.

    Examples:
        >>> are_prehashed(pl.Series(["ab" * 16, " " + "AB" * 32, "ab", None])).to_list()
        [True, True, False, False]
    """
    suspects = (texts.str.len_bytes() >= _SHORTEST_DIGEST).arg_true()
    truth = pl.Series([False]).new_from_index(0, len(texts))
    return truth.scatter(suspects, texts.gather(suspects).alias("text").to_frame().select(_IS_DIGEST).to_series())


def are_usable(trait: str, texts: pl.Series) -> pl.Series:
    """Returns whether each text can be a value of its trait, or is a digest (rules 3.2); true for null.

    Examples:
        >>> are_usable("email", pl.Series(["jo@example.com", "jo@", "ab" * 16, None])).to_list()
        [True, False, True, True]
    """
    if trait not in _USABLE:
        return pl.Series([True]).new_from_index(0, len(texts))
    usable = texts.str.contains(_USABLE[trait]).fill_null(True)
    others = (~usable).arg_true()
    return usable.scatter(others, are_prehashed(texts.gather(others))) if len(others) else usable


def are_junk(texts: pl.Series) -> pl.Series:
    """Returns whether each text is a macro, a null word or undecodable, which has no hash (rules 3.2)."""
    junk = placeholders.find_junk(texts)
    return pl.Series(junk["unresolved_macro"] | junk["null_word"] | junk["undecodable_text"])


def is_us(countries: pl.Series) -> pl.Series:
    """Returns whether each country, as sent, is the United States; false for null."""
    return (map_distinct(countries, read_country) == "us").fill_null(False)


def _on_column(word: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.Series], pl.Series]:
    """Decorator that makes a function of expressions a function of columns; the expression is built only once."""
    built = word(pl.col("text"))
    return lambda texts: texts.alias("text").to_frame().select(built).to_series()


#: The text itself in lower case, if it is a digest; else the SHA-256 of its normal form.
_DIGEST: Final = (
    pl.when(_IS_DIGEST)
    .then(pl.col("text").str.strip_chars().str.to_lowercase())
    .when(pl.col("form") != "")
    .then(plh.col("form").chash.sha2_256())
)


def _digests(forms: pl.Series, texts: pl.Series) -> pl.Series:
    """Returns the digest of each text, given its normal form."""
    return pl.DataFrame([forms.alias("form"), texts.alias("text")]).select(_DIGEST).to_series()


@_on_column
def _email(text: pl.Expr) -> pl.Expr:
    """Normal form of an e-mail address: trimmed, in lower case."""
    return text.str.strip_chars().str.to_lowercase()


def _email_google(texts: pl.Series) -> pl.Series:
    """Google's normal form of e-mail addresses: without dots and `+suffix` at gmail.com and googlemail.com."""
    lowered = _email(texts)
    is_google = lowered.str.contains(r"@(?:gmail|googlemail)\.com$")
    if not is_google.any():
        return lowered
    parts = lowered.str.extract_groups(r"^([^@+]*).*@(g.*)$").struct.unnest()
    google = pl.select(pl.lit(parts["1"]).str.replace_all(".", "", literal=True) + "@" + parts["2"]).to_series()
    return google.zip_with(is_google.fill_null(False), lowered)


#: A trunk zero between country code and area code, which is removed; in Italy the zero belongs to the number.
_TRUNK_ZERO: Final = r"^(\+|00)([1-9][0-9]{0,2})[-. ]0+([1-9])"
_ITALIAN: Final = r"^(?:\+|00)39[-. ]"


@_on_column
def _phone(text: pl.Expr) -> pl.Expr:
    """Normal form of a phone number: its digits, without leading zeros and without the trunk zero."""
    trimmed = text.str.strip_chars()
    kept = pl.when(trimmed.str.contains(_ITALIAN)).then(trimmed).otherwise(trimmed.str.replace(_TRUNK_ZERO, "$1$2$3"))
    return kept.str.replace_all(r"[^0-9]", "").str.strip_chars_start("0")


def _phone_e164(texts: pl.Series) -> pl.Series:
    """Google's normal form of phone numbers: E.164, with `+`."""
    digits = _phone(texts)
    return pl.select(pl.when(pl.lit(digits) != "").then("+" + pl.lit(digits))).to_series()


@_on_column
def _name(text: pl.Expr) -> pl.Expr:
    """Normal form of a name: in lower case, without punctuation, trimmed."""
    return text.str.to_lowercase().str.replace_all(r"\p{P}", "").str.strip_chars()


@_on_column
def _city(text: pl.Expr) -> pl.Expr:
    """Normal form of a city: in lower case, without punctuation and white space."""
    return text.str.to_lowercase().str.replace_all(r"[\p{P}\s]", "")


def _us_state(texts: pl.Series) -> pl.Series:
    """Normal form of US states: the two-letter code, or the form of a city."""
    cities = _city(texts)
    return map_distinct(cities, _us_states().get).fill_null(cities)


@_on_column
def _zipcode(text: pl.Expr) -> pl.Expr:
    """Normal form of a zip code: in lower case, without white space and hyphens."""
    return text.str.to_lowercase().str.replace_all(r"[\s-]", "")


def _us_zipcode(texts: pl.Series) -> pl.Series:
    """Normal form of US zip codes: the first five characters."""
    return _zipcode(texts).str.slice(0, 5)


def _birthdate(texts: pl.Series) -> pl.Series:
    """Normal form of birthdates: YYYYMMDD; null where the date cannot be read."""
    return map_distinct(texts, read_birthdate)


def _country(texts: pl.Series) -> pl.Series:
    """Normal form of countries: the lowercase two-letter code, or the text in lower case."""
    return map_distinct(texts, read_country)


HASHES: Final = (
    TraitHash("email_sha256", "email", _email),
    TraitHash("email_google_sha256", "email", _email_google),
    TraitHash("phone_sha256", "phone", _phone),
    TraitHash("phone_e164_sha256", "phone", _phone_e164),
    TraitHash("first_name_sha256", "first_name", _name),
    TraitHash("last_name_sha256", "last_name", _name),
    TraitHash("birthdate_sha256", "birthdate", _birthdate),
    TraitHash("city_sha256", "city", _city),
    TraitHash("state_sha256", "state", _city, _us_state),
    TraitHash("zipcode_sha256", "zipcode", _zipcode, _us_zipcode),
    TraitHash("country_sha256", "country", _country),
)

#: The first hash column of each trait, by trait. Redaction replaces personal values by these hashes.
HASH_OF: Final = {row.trait: row for row in reversed(HASHES)} | {"full_name": HASHES[4]}

_DATE_FORMS: Final = (
    (re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})"), (0, 1, 2)),
    (re.compile(r"([0-9]{4})/([0-9]{2})/([0-9]{2})"), (0, 1, 2)),
    (re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})"), (0, 1, 2)),
    (re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})"), (2, 0, 1)),
    (re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})"), (2, 1, 0)),
    (re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})"), (2, 1, 0)),
)


def read_birthdate(text: str) -> str | None:
    """Parses a date written year first, D.M.YYYY, M/D/YYYY, or D/M/YYYY if the day is above 12, to YYYYMMDD; else None.

    Examples:
        >>> [read_birthdate(t) for t in ("1991-05-26", "2/16/1997", "26.05.1991", "5/1991")]
        ['19910526', '19970216', '19910526', None]
    """
    for pattern, (year, month, day) in _DATE_FORMS:
        match = pattern.fullmatch(text.strip(WHITE_SPACE))
        if match:
            numbers = [int(group) for group in match.groups()]
            try:
                return date(numbers[year], numbers[month], numbers[day]).strftime("%Y%m%d")
            except ValueError:
                continue
    return None


def read_country(text: str) -> str:
    """Returns the lowercase two-letter code of a country's name or code; other text trimmed and in lower case.

    Examples:
        >>> [read_country(t) for t in ("United States", "USA", " de ", "Atlantis")]
        ['us', 'us', 'de', 'atlantis']
    """
    lowered = text.strip(WHITE_SPACE).lower()
    return _countries().get(lowered, lowered)


@cache
def _table() -> dict[str, dict[str, str]]:
    """Reads the table of ISO 3166: importing a package with the lists takes a tenth of a second."""
    table: dict[str, dict[str, str]] = json_codec.parse(COUNTRIES.read_bytes())
    return table


def _countries() -> dict[str, str]:
    """Maps each country's lowercase names and three-letter code to its lowercase two-letter code."""
    return _table()["countries"]


def _us_states() -> dict[str, str]:
    """Returns the lowercase two-letter code of a US state by its name in the normal form of a city."""
    return _table()["us_states"]
