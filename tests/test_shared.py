"""Public vectors and real logs, read in place; where they are not beside the checkout, these tests are skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.errors import FormatError
from etl.privacy.trait_hashes import HASHES, sha256_of
from etl.transform.parameter_table import split_forms

SHARED = Path(__file__).parents[2] / "shared"

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="the shared vectors and corpora are not here")

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
    vectors = json.loads((SHARED / "urlencoded_vectors.json").read_text(encoding="utf-8"))
    params = split_forms(pl.Series([vector["input"] for vector in vectors])).frame()
    for row, vector in enumerate(vectors):
        got = params.filter(pl.col("row") == row).select("name", "value").rows()
        assert [list(pair) for pair in got] == vector["output"]


def test_every_hash_vector() -> None:
    vectors = json.loads((SHARED / "hash_vectors.json").read_text(encoding="utf-8"))["digest_vectors"]
    by_column = {row.column: row for row in HASHES}
    for vector in vectors:
        key = f"{vector['platform']} {vector['field']}"
        row = by_column[COLUMNS.get(key, COLUMNS[vector["field"]])]
        digest = sha256_of(row, pl.Series([vector["input"]]))[0]
        assert (digest == vector["sha256_hex"]) is (vector["input"] != INVENTED), vector


CORPORA = sorted(path for path in SHARED.glob("corpora/*/*/*") if path.is_file())

#: What this tool reads in the corpora; other files are refused by name.
READ = ("apache_combined", "nginx_combined", "nginx_ingress", "vhost_combined", "clf_common")
WEBHOOKS = {
    "shopify": {"json"},
    "stripe": {"json"},
    "woocommerce": {"json"},
    "lambda_apigw": {"api_gateway_v1", "api_gateway_v2", "load_balancer_event", "json"},
    "ngrok": {"ngrok"},
    "har": {"har", "json"},
}


@pytest.mark.parametrize("path", CORPORA, ids=[str(path.relative_to(SHARED / "corpora")) for path in CORPORA])
def test_real_files_are_read_or_refused(path: Path, tmp_path: Path) -> None:
    try:
        summary: dict[str, Any] = etl.run([path], tmp_path / "out", account="a", integration="b")
    except FormatError:
        assert path.parent.name not in (*READ, *WEBHOOKS)
        return
    ended = summary["conversions"] + summary["rejections"]["total"] + summary["skipped"]["total"]
    assert summary["records"] == ended
    if path.parent.name in READ:
        assert summary["inputs"][0]["format"] in ("combined", "common")
        assert summary["records"] == len(path.read_bytes().removesuffix(b"\n").split(b"\n"))
    if path.parent.name in WEBHOOKS:
        assert summary["inputs"][0]["format"] in WEBHOOKS[path.parent.name]
    rejections = pl.read_parquet(tmp_path / "out" / "rejections")
    assert rejections["message"].null_count() == 0
