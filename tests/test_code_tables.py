"""The tables of codes are those of ISO 3166, as pycountry lists it, and of ISO 4217, as iso4217 does.

Run as a script, this module writes them anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import iso4217
import pycountry

import etl
from etl.privacy.trait_hashes import COUNTRIES
from etl.rules.value_parsing import CURRENCIES


def listed_countries() -> dict[str, dict[str, str]]:
    """Codes of countries by name and three-letter code, and codes of US states by name, all in lower case."""
    countries: dict[str, str] = {}
    for country in pycountry.countries:
        names: Any = (
            country.name,
            country.alpha_3,
            *(getattr(country, f"{name}_name", "") for name in ("common", "official")),
        )
        countries |= {name.lower(): country.alpha_2.lower() for name in names if name}
    states: Any = pycountry.subdivisions.get(country_code="US")  # type: ignore[no-untyped-call]
    codes = {re.sub("[^a-z]", "", one.name.lower()): one.code.removeprefix("US-").lower() for one in states}
    return {"countries": countries, "us_states": codes}


def listed_currencies() -> dict[str, int | None]:
    """Decimal digits of the minor unit by the code of a currency; null where a currency has none."""
    return {currency.code: currency.exponent for currency in iso4217.Currency}


def test_the_tables_are_those_of_the_packages() -> None:
    assert json.loads(COUNTRIES.read_bytes()) == listed_countries(), "python -m tests.test_code_tables writes it anew"
    assert json.loads(CURRENCIES.read_bytes()) == listed_currencies(), "python -m tests.test_code_tables writes it anew"


if __name__ == "__main__":
    for path, table in (("privacy/countries.json", listed_countries()), ("rules/currencies.json", listed_currencies())):
        text = json.dumps(table, ensure_ascii=False, indent=0, sort_keys=True)
        Path(etl.__file__).parent.joinpath(path).write_text(f"{text}\n", encoding="utf-8")
