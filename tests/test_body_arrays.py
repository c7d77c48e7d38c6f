"""Bodies that are arrays, where the ruleset reads one record an element: in any format, and again from what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.warehouse.replay import replay
from etl.warehouse.verify import verify
from tests.commands import run
from tests.effort import thorough
from tests.warehouses import tables

ARRAYS = 'name = "arrays"\narray_bodies = "records"\n'
RULES = etl.parse_ruleset(ARRAYS, "arrays.toml")
PATH = "/acme/collect/shop"
PAYLOADS: list[Any] = [
    {"click_id": "a", "value": 1.5, "email": "ann@example.com", "transaction_id": "t1"},
    {"click_id": "b", "conversion_type": "nope", "phone": "+4915112345678"},
    {"click_id": "a", "value": 1.5, "transaction_id": "t1"},
    7,
]
TEXT = json.dumps(PAYLOADS)
ENVELOPE = {"method": "POST", "path": PATH, "received_at": "2024-05-01T12:00:00Z", "body": PAYLOADS}
DOCKER = {"stream": "stdout", "time": "2024-05-01T12:00:00Z"}
BARE = {"format": "jsonl", "account": "acme", "integration": "shop"}
NGINX = '$remote_addr [$time_local] "$request" $status "$request_body" "$http_user_agent"'
LINE = '192.0.2.7 [01/May/2024:12:00:00 +0000] "POST ' + PATH + ' HTTP/1.1" 200 "{}" "agent"'

#: A record with such a body in each kind of input, and the options that read it.
INPUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "envelope": (json.dumps(ENVELOPE), {}),
    "envelope with text": (json.dumps({**ENVELOPE, "body": TEXT}), {}),
    "payload": (TEXT, BARE),
    "carried": (json.dumps({"log": json.dumps(ENVELOPE) + "\n", **DOCKER}), {}),
    "carried payload": (json.dumps({"log": TEXT + "\n", **DOCKER}), BARE),
    "nginx": (LINE.format(TEXT.replace('"', "\\x22")), {"log_format": NGINX}),
    "json log": (
        json.dumps(
            {
                "time_local": "01/May/2024:12:00:00 +0000",
                "remote_addr": "192.0.2.7",
                "request": f"POST {PATH} HTTP/1.1",
                "status": "200",
                "request_body": TEXT,
            }
        ),
        {},
    ),
    "table": ("path,body,time\n" + PATH + ',"' + TEXT.replace('"', '""') + '",2024-05-01T12:00:00Z', {}),
}


#: Each input in turn with hashed and kept values.
REPLAYED = [
    pytest.param(name, pii, marks=[] if turn % 2 == number else [thorough])
    for turn, name in enumerate(INPUTS)
    for number, pii in enumerate(("hash", "keep"))
]


def written(name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    text, options = INPUTS[name]
    path = folder / "input"
    path.write_text(text + "\n", encoding="utf-8")
    return path, options


@pytest.mark.parametrize("name", INPUTS)
def test_each_element_is_a_record_in_any_format(name: str, tmp_path: Path) -> None:
    path, options = written(name, tmp_path)
    summary = etl.run([path], tmp_path / "out", ruleset=RULES, **options)
    assert summary["records"] - sum(summary["skipped"]["by_reason"].get(name, 0) for name in ("header",)) == 4
    rows = {name: pl.read_parquet(tmp_path / "out" / name / "*.parquet") for name in ("conversions", "rejections")}
    (conversion,) = rows["conversions"].to_dicts()
    assert (conversion["match_key"], conversion["account_id"]) == ("a", "acme")
    time = None if path.read_text() == TEXT + "\n" else "2024-05-01 12:00:00+00:00"
    assert str(conversion["received_at"]) == str(time)
    first = conversion["record_no"]
    found = rows["rejections"].sort("record_no").select("reason", "record_no").rows()
    reasons = ("unknown_conversion_type", "duplicate_transaction", "malformed_body")
    assert found == [(reason, first + number) for number, reason in enumerate(reasons, 1)]
    assert set(rows["rejections"]["byte_offset"]) == {conversion["byte_offset"]}
    raws = [json.loads(raw) for raw in rows["rejections"].sort("record_no")["raw"]]
    assert [raw["element"] for raw in raws] == ["2 of 4", "3 of 4", "4 of 4"]
    assert not any(text in str(raws) for text in ("ann@", "15112345678", "192.0.2.7"))


@pytest.mark.parametrize(("name", "pii"), REPLAYED)
def test_what_passes_in_a_replay_is_what_a_reload_gives(name: str, pii: str, tmp_path: Path) -> None:
    path, options = written(name, tmp_path)
    house = replace(RULES, events=(*RULES.events, ("nope", "Purchase")))
    etl.load([path], tmp_path / "warehouse", ruleset=RULES, pii=pii, **options)
    assert replay(str(tmp_path / "warehouse"), house)["passed"] == 1
    etl.load([path], tmp_path / "fresh", ruleset=house, pii=pii, **options)
    now, expected = tables(tmp_path / "warehouse"), tables(tmp_path / "fresh")
    hidden = ("phone_e164_sha256",) if pii == "hash" else ("client_ip",)  # what a raw record no longer holds
    for rows in (now, expected):
        for row in rows["conversions"]:
            row.update(dict.fromkeys(hidden))
    assert now == expected
    assert verify(str(tmp_path / "warehouse")) == []


def test_numbers_are_the_same_whatever_the_lines_between(tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    single = json.dumps({**ENVELOPE, "body": {"click_id": "x"}})
    path.write_text("\n".join([single, "", json.dumps(ENVELOPE), "# end", single, ""]), encoding="utf-8")
    etl.run([path], tmp_path / "out", ruleset=RULES)
    rows = pl.read_parquet(tmp_path / "out" / "conversions" / "*.parquet").sort("record_no")
    assert rows["record_no"].to_list() == [1, 3, 8]


def test_explain_shows_which_element_a_record_is(tmp_path: Path) -> None:
    path, rules = tmp_path / "dump.jsonl", tmp_path / "arrays.toml"
    path.write_text(json.dumps(ENVELOPE) + "\n", encoding="utf-8")
    rules.write_text(ARRAYS, encoding="utf-8")
    told = run("explain", f"{path}:2", "--ruleset", rules).stdout.decode()
    assert "element: 2 of 4" in told
    assert "unknown_conversion_type" in told
    assert "element" not in run("explain", f"{path}:1").stdout.decode().replace("array of 4 elements", "")
