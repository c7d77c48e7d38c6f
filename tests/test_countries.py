"""The table of countries and states is that of ISO 3166, as pycountry lists it. Run as a script, it is written anew."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pycountry

import etl
from etl.privacy.trait_hashes import COUNTRIES


def listed() -> dict[str, dict[str, str]]:
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


def test_the_table_is_that_of_pycountry() -> None:
    assert json.loads(COUNTRIES.read_bytes()) == listed(), "python -m tests.test_countries writes it anew"


if __name__ == "__main__":
    text = json.dumps(listed(), ensure_ascii=False, indent=0, sort_keys=True)
    Path(etl.__file__).parent.joinpath("privacy", "countries.json").write_text(f"{text}\n", encoding="utf-8")
