"""What frameworks and telemetry log: one record a request, though two lines tell of it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import etl

TARGET = "/acme/collect/shop?click_id={}&value=5"
URL = "http://t.example.com" + TARGET
STATE = {"Protocol": "HTTP/1.1", "Method": "GET", "Path": "/acme/collect/shop", "QueryString": "?click_id={}"}
SERILOG = {"@t": "2024-05-01T12:00:00Z", "@mt": "x", "RequestMethod": "GET", "RequestPath": TARGET, "StatusCode": 200}

#: The lines of one request in each log; `{}` is its click id.
LINES = {
    "koa": ("  <-- GET " + TARGET, "  --> GET " + TARGET + " 200 5ms 2b"),
    "koa, in colours": (
        "  \x1b[90m<--\x1b[0m \x1b[1mGET\x1b[0m \x1b[90m" + TARGET + "\x1b[0m",
        "  \x1b[90m-->\x1b[0m \x1b[1mGET\x1b[0m \x1b[90m" + TARGET + "\x1b[0m \x1b[32m200\x1b[0m \x1b[90m5ms\x1b[0m",
    ),
    "hono": ("<-- GET " + TARGET, "--> GET " + TARGET + " \x1b[32m200\x1b[0m 5ms"),
    "kestrel": (
        "info: Microsoft.AspNetCore.Hosting.Diagnostics[1]",
        "      Request starting HTTP/1.1 GET " + URL + " - - -",
        "info: Microsoft.AspNetCore.Hosting.Diagnostics[2]",
        "      Request finished HTTP/1.1 GET " + URL + " - 200 2 text/plain 5.1ms",
    ),
    "kestrel by Serilog": (
        "2024-05-01 14:00:00.123 +02:00 [INF] Request starting HTTP/1.1 GET " + URL + " - -",
        "2024-05-01 14:00:00.128 +02:00 [INF] Request finished HTTP/1.1 GET " + URL + " - - - 200 - text/plain 5.1ms",
    ),
    "kestrel before 5": (
        "      Request starting HTTP/1.1 GET " + URL + "  ",
        "      Request finished in 5.1ms 200 text/plain",
    ),
    "kestrel in JSON": (
        json.dumps({"EventId": 1, "Message": "Request starting HTTP/1.1 GET " + URL, "State": STATE}),
        json.dumps({"EventId": 2, "Message": "Request finished " + URL, "State": {**STATE, "StatusCode": 200}}),
    ),
    "serilog": (json.dumps(SERILOG), json.dumps({"@t": "2024-05-01T12:00:01Z", "@mt": "Order saved"})),
}


def records(text: str, folder: Path) -> tuple[pl.DataFrame, dict[str, object]]:
    (folder / "input").write_text(text, encoding="utf-8")
    summary = etl.run([folder / "input"], folder / "out")
    return pl.read_parquet(folder / "out" / "conversions" / "*.parquet"), summary


@pytest.mark.parametrize("name", LINES)
def test_a_request_is_one_record_though_two_lines_tell_of_it(name: str, tmp_path: Path) -> None:
    text = "".join(line.replace("{}", key) + "\n" for key in "abc" for line in LINES[name])
    rows, summary = records(text, tmp_path)
    assert rows["match_key"].to_list() == ["a", "b", "c"]
    assert summary["rejections"] == {"total": 0, "by_reason": {}}
    assert rows["http_method"].unique().to_list() == ["GET"]
    if "Serilog" in name:
        assert str(rows["received_at"][0]) == "2024-05-01 12:00:00.123000+00:00"


@pytest.mark.parametrize("name", ["an array of lines", "journalctl -o json-seq", "Fluent Bit's output"])
def test_lines_in_other_notations_are_read(name: str, tmp_path: Path) -> None:
    lines = [f'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET {TARGET.format(key)} HTTP/1.1" 200 2' for key in "abc"]
    texts = {
        "an array of lines": json.dumps(lines, indent=1),
        "journalctl -o json-seq": "".join(
            "\x1e" + json.dumps({"__CURSOR": "s", "MESSAGE": one}) + "\n" for one in lines
        ),
        "Fluent Bit's output": "".join(
            f'[0] a: [[1714564800.1, {{}}], {{"log"=>{json.dumps(one)}}}]\n' for one in lines
        ),
    }
    rows, _ = records(texts[name], tmp_path)
    assert rows["match_key"].to_list() == ["a", "b", "c"]
    assert str(rows["received_at"][0]) == "2024-05-01 12:00:00+00:00"


def test_the_line_of_another_path_is_counted_once(tmp_path: Path) -> None:
    text = "".join(line.replace("{}", "a") + "\n" for line in LINES["koa"]) + "  <-- GET /x\n  --> GET /x 200 1ms 2b\n"
    _, summary = records(text, tmp_path)
    assert summary["skipped"] == {"total": 3, "by_reason": {"not_a_postback": 1, "not_a_request": 2}}
