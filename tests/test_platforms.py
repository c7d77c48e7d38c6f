"""Requests that frameworks, gateways and platforms log in JSON, and bodies that a log record holds."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import etl
from etl.sources.format import Format, Settings
from etl.sources.formats.json_platforms import PLATFORMS
from etl.sources.formats.registry import BY_NAME, start_reader

REQUESTS = [row for row in PLATFORMS if row.keys != {}]
EVENTS = [row for row in PLATFORMS if row.keys == {}]


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: row.name)
def test_a_request_has_its_address_time_method_and_client(row: Format) -> None:
    record = start_reader(row, Settings())(row.samples[0])
    assert (record.fault, record.path) == (None, "/acme/collect/shop")
    assert record.http_method in {"GET", "POST"}
    assert record.client_ip == "192.0.2.7"
    if row.name != "logbook":
        assert record.received_at is not None
        assert record.received_at.isoformat().startswith("2024-05-01T12:00:00")
    if row.name not in {"logbook", "api_gateway_json"}:
        assert record.query == "click_id=a"
    if row.name not in {"logbook", "aws_waf"}:
        assert record.http_status in {200, None if row.name == "pino" else 200}


@pytest.mark.parametrize("row", EVENTS, ids=lambda row: row.name)
def test_what_is_logged_beside_requests_is_no_request(row: Format) -> None:
    assert {start_reader(row, Settings())(sample).fault for sample in row.samples} == {"not_a_request"}


@pytest.mark.parametrize("name", ["lograge", "caddy_console", "iis_native"])
def test_lines_of_text_have_their_parts(name: str) -> None:
    record = start_reader(BY_NAME[name], Settings())(BY_NAME[name].samples[0])
    assert (record.path, record.http_method, record.http_status) == ("/acme/collect/shop", "GET", 200)
    assert record.received_at is not None


NGINX = '{"time":"2024-05-01T12:00:00Z","request":"POST /acme/collect/shop HTTP/1.1","request_body":"%s","status":200}'
BODIES = {
    "nginx": NGINX % '{\\"click_id\\":\\"abc\\"}',
    "nginx, a form": NGINX % "click_id=abc&value=1",
    "ecs": (
        '{"@timestamp":"2024-05-01T12:00:00Z","http":{"request":{"method":"POST","body":{"content":"click_id=abc"}}},'
        '"url":{"path":"/acme/collect/shop"},"client":{"ip":"192.0.2.7"}}'
    ),
    "pino": (
        '{"level":30,"time":1714564800123,"req":{"method":"POST","url":"/acme/collect/shop","body":{"click_id":"abc"}},'
        '"res":{"statusCode":200}}'
    ),
    "logbook": (
        '{"origin":"remote","type":"request","correlation":"1","method":"POST","uri":'
        '"https://t.example.com/acme/collect/shop","body":{"click_id":"abc"}}'
    ),
}


@pytest.mark.parametrize("text", BODIES.values(), ids=BODIES)
def test_a_body_in_the_log_record_is_judged(text: str, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(text + "\n")
    etl.run([tmp_path / "log.jsonl"], tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out/conversions/*.parquet")["match_key"].to_list() == ["abc"]


def test_a_body_that_was_not_logged_cannot_be_judged(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(NGINX % "-" + "\n")
    etl.run([tmp_path / "log.jsonl"], tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out/rejections/*.parquet")["reason"].to_list() == ["body_not_logged"]


TABLES = {
    "GCS usage": (
        '"time_micros","c_ip","c_ip_type","cs_method","cs_uri","sc_status","cs_bytes","cs_user_agent"\n'
        '"1714564800123456","192.0.2.7","1","GET","/acme/collect/shop?click_id=abc","200","0","Acme/1"\n'
    ),
    "Cloudflare Logpush": (
        "ClientIP,ClientRequestMethod,ClientRequestURI,EdgeResponseStatus,EdgeStartTimestamp,ClientRequestUserAgent\n"
        "192.0.2.7,GET,/acme/collect/shop?click_id=abc,200,2024-05-01T12:00:00Z,Acme/1\n"
    ),
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_a_table_of_requests_has_its_columns(text: str, tmp_path: Path) -> None:
    (tmp_path / "usage.csv").write_text(text)
    etl.run([tmp_path / "usage.csv"], tmp_path / "out", pii="keep")
    row = pl.read_parquet(tmp_path / "out/conversions/*.parquet").row(0, named=True)
    assert (row["match_key"], row["http_method"], row["http_status"]) == ("abc", "GET", 200)
    assert (row["client_ip"], row["user_agent"]) == ("192.0.2.7", "Acme/1")
    assert row["received_at"].isoformat().startswith("2024-05-01T12:00:00")
