"""Public test vectors: what others publish of a query's parameters and of a person's hashes, this tool computes."""

from __future__ import annotations

import json

import polars as pl

from etl.privacy.trait_hashes import HASHES, sha256_of
from etl.steps.parameter_table import split_forms
from tests.places import DATA

#: What a vector's platform and field are hashed as here; Google's e-mail and phone have columns of their own.
COLUMNS = {
    "em": "email_sha256",
    "ph": "phone_sha256",
    "fn": "first_name_sha256",
    "ln": "last_name_sha256",
    "db": "birthdate_sha256",
    "country": "country_sha256",
    "google em": "email_google_sha256",
    "google ph": "phone_e164_sha256",
}

#: The one published digest that rests on a country code which the input does not have (rules 9.2: never invented).
INVENTED = "(447)-234-2344"


def test_every_urlencoded_vector() -> None:
    vectors = json.loads((DATA / "urlencoded_vectors.json").read_text(encoding="utf-8"))
    params = split_forms(pl.Series([vector["input"] for vector in vectors])).frame()
    for row, vector in enumerate(vectors):
        got = params.filter(pl.col("row") == row).select("name", "value").rows()
        assert [list(pair) for pair in got] == vector["output"]


def test_every_hash_vector() -> None:
    vectors = json.loads((DATA / "hash_vectors.json").read_text(encoding="utf-8"))["digest_vectors"]
    by_column = {row.column: row for row in HASHES}
    for vector in vectors:
        key = f"{vector['platform']} {vector['field']}"
        row = by_column[COLUMNS.get(key, COLUMNS[vector["field"]])]
        digest = sha256_of(row, pl.Series([vector["input"]]))[0]
        assert (digest == vector["sha256_hex"]) is (vector["input"] != INVENTED), vector
