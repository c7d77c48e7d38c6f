"""No personal value reaches any output unless it is asked for, wherever in a record it stands (rules 9.1)."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote_plus

import polars as pl
import pytest

import etl
from etl.schema import TABLES

EMAIL, PHONE, NAME, CITY = "zq.wxv@example.com", "+1 650 555 0187", "Zqwxvina Qxwzson", "Zxqwville"
ADDRESS, ADDRESS_6 = "203.0.113.77", "2001:db8:77::9"
PERSON = f"email={quote_plus(EMAIL)}&phone={quote_plus(PHONE)}&full_name={quote_plus(NAME)}&city={CITY}"
HIDDEN = (
    EMAIL,
    quote_plus(EMAIL),
    PHONE,
    quote_plus(PHONE),
    "6505550187",
    "Zqwxvina",
    "Qxwzson",
    CITY,
    ADDRESS,
    ADDRESS_6,
)

LOG = f'{ADDRESS} - - [01/May/2024:12:00:00 +0000] "%s" 200 2 "-" "agent" "{ADDRESS}, {ADDRESS_6}"'
PAYLOAD = {"email": EMAIL, "phone": PHONE, "full_name": NAME, "city": CITY}

#: What becomes a conversion, or a rejection of every kind with its whole raw record.
RECORDS = {
    "a conversion": LOG % f"GET /a/collect/b?click_id=1&{PERSON} HTTP/1.1",
    "an e-mail address as match key": LOG % f"GET /a/collect/b?{PERSON} HTTP/1.1",
    "an unknown type": LOG % f"GET /a/collect/b?conversion_type=x&{PERSON} HTTP/1.1",
    "a percent-encoded name": LOG % f"GET /a/collect/b?conversion_type=x&%65mail={quote_plus(EMAIL)} HTTP/1.1",
    "raw blanks and quotes": LOG % f'GET /a/collect/b?conversion_type=x&name=Zqwxvina "x" Qxwzson&city={CITY} HTTP/1.1',
    "escaped quotes": LOG % f'GET /a/collect/b?conversion_type=x&name=Zqwxvina \\"x\\" Qxwzson&city={CITY} HTTP/1.1',
    "near misses": LOG % f"GET /a/collect/b?firstname=Zqwxvina&Phone={quote_plus(PHONE)}&value=1 HTTP/1.1",
    "an alias conflict": LOG % f"GET /a/collect/b?click_id=1&{PERSON}&email=a%40b.example&fullName=Zqwxvina HTTP/1.1",
    "a referer": (LOG % "GET /a/collect/b?value=1 HTTP/1.1").replace('"-"', f'"https://example.com/?{PERSON}"', 1),
    "a cut-off line": (LOG % f"GET /a/collect/b?click_id=1&{PERSON} HTTP/1.1").partition(" HTTP/1.1")[0],
    "a cut-off line with a raw blank": f"x GET /a/collect/b?conversion_type=x&full_name=Zqwxvina Qxwzson&city={CITY}",
    "a bare query with raw blanks": f"conversion_type=x&full_name=Zqwxvina Qxwzson&email={EMAIL} &value=1",
    "two duplicates": "\n".join([LOG % f"GET /a/collect/b?click_id=1&transaction_id=T&{PERSON} HTTP/1.1"] * 2),
    "a payload": json.dumps({**PAYLOAD, "conversion_type": "x"}),
    "an escaped payload": json.dumps({**PAYLOAD, "conversion_type": "x"}).replace("email", "\\u0065mail"),
    "a nested payload": json.dumps({"order": {"customer": {**PAYLOAD, "phone_number": PHONE}}, "value": 1}),
    "an envelope": json.dumps(
        {
            "method": "POST",
            "path": f"/a/collect/b?{PERSON}",
            "headers": {"X-Forwarded-For": ADDRESS, "Cookie": f"email={EMAIL}"},
            "client_ip": ADDRESS_6,
            "body": {**PAYLOAD, "conversion_type": "x"},
        }
    ),
    "an envelope with text": json.dumps({"method": "POST", "path": "/a/collect/b", "body": json.dumps(PAYLOAD)[:-1]}),
    "an envelope with a form": json.dumps(
        {"method": "POST", "path": "/a/collect/b", "body": f"conversion_type=x&{PERSON}"}
    ),
    "a cut-off payload": json.dumps(PAYLOAD)[:-1],
    "a payload cut off within a value": json.dumps({"click_id": "1", "name": NAME})[:-4],
}


KINDS = {"jsonl": "{", "plain_text": "conversion_type="}


@pytest.mark.parametrize("pii", ["hash", "drop"])
@pytest.mark.parametrize("label", RECORDS)
def test_nothing_personal_is_written(label: str, pii: str, tmp_path: Path) -> None:
    (tmp_path / "input").write_text(RECORDS[label] + "\n", encoding="utf-8")
    kind = next((kind for kind, begins in KINDS.items() if RECORDS[label].startswith(begins)), "combined")
    summary = etl.run([tmp_path / "input"], tmp_path / "out", format=kind, pii=pii)
    written = json.dumps(summary)
    for table in TABLES:
        written += str(pl.read_parquet(tmp_path / "out" / table.name).to_dicts())
    assert [text for text in HIDDEN if text in written] == []


def test_a_raw_record_joins_with_the_hash_columns(tmp_path: Path) -> None:
    lines = [RECORDS["a conversion"], RECORDS["an unknown type"], RECORDS["a payload"]]
    (tmp_path / "a.log").write_text("\n".join(lines[:2]), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(lines[2], encoding="utf-8")
    etl.run([tmp_path / "a.log", tmp_path / "b.jsonl"], tmp_path / "out")
    conversion = pl.read_parquet(tmp_path / "out" / "conversions").to_dicts()[0]
    raws = pl.read_parquet(tmp_path / "out" / "rejections")["raw"].to_list()
    for raw in raws:
        for column in ("email_sha256", "phone_sha256", "city_sha256"):
            assert f"sha256:{conversion[column]}" in raw
