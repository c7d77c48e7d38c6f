"""Small inputs of further kinds that real files have: each holds three postbacks, with their times and clients."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

import etl

PATH: Final = "/acme/collect/shop"
QUERY: Final = "click_id=abc{i}&transaction_id=T{i}&value=12.50"
TARGET: Final = f"{PATH}?{QUERY}"
AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) Chrome/124.0"
LINE: Final = f'192.0.2.{{i}} - - [01/May/2024:12:00:0{{i}} +0000] "GET {TARGET} HTTP/1.1" 200 2 "-" "{AGENT}"'
EPOCH: Final = 1_714_564_800

Kind = Callable[[], "str | bytes"]


def lines(template: str) -> Kind:
    """Three lines of a template, in which `{i}` is the number of the postback."""
    return lambda: "".join(template.replace("{i}", str(i)) + "\n" for i in (1, 2, 3))


def objects(value: Any) -> Kind:
    """Three lines of JSON, with `{i}` in texts."""
    return lines(json.dumps(value))


def table(header: Sequence[str], row: Sequence[str], delimiter: str = ",") -> Kind:
    """A table with a header and three rows, all cells of which are quoted."""

    def written() -> str:
        out = io.StringIO()
        writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([cell.replace("{i}", str(i)) for cell in row] for i in (1, 2, 3))
        return out.getvalue()

    return written


def request(target: str = "url", **more: Any) -> dict[str, Any]:
    return {"method": "GET", target: TARGET, **more}


KINDS: Final[dict[str, Kind]] = {
    "gin with colours": lines(
        "\x1b[90m[GIN] 2024/05/01 - 12:00:0{i} |\x1b[97;42m 200 \x1b[0m| 1.2ms | 192.0.2.{i} |\x1b[97;44m GET \x1b[0m "
        f'"{TARGET}"'
    ),
    "werkzeug with colours": lines(
        f'192.0.2.{{i}} - - [01/May/2024 12:00:0{{i}}] "\x1b[36mGET {TARGET} HTTP/1.1\x1b[0m" 304 -'
    ),
    "Caddy's console with colours": lines(
        "2024/05/01 12:00:0{i}.123\t\x1b[34mINFO\x1b[0m\thttp.log.access\thandled request\t"
        + json.dumps(
            {"request": {"remote_ip": "192.0.2.{i}", "method": "GET", "host": "a", "uri": TARGET}, "status": 200}
        )
    ),
    "Spring, with a comma behind the address": lines(
        f"2024-05-01 12:00:0{{i}}.123 DEBUG 8 : Before request [GET {TARGET}, client=192.0.2.{{i}}]"
    ),
    "an address with a status and a client behind it": lines(
        f"[2024-05-01 12:00:0{{i}}] GET {TARGET} 200 192.0.2.{{i}}"
    ),
    "an address in a message, with a status behind it": objects(
        {"level": "info", "timestamp": "2024-05-01T12:00:0{i}Z", "message": f"GET {TARGET} 200 - 192.0.2.{{i}}"}
    ),
    "lines as cells, without a header": lines('"' + LINE.replace('"', '""') + '"'),
    "lines as cells behind a time": lines("2024-05-01T12:00:0{i}Z\t" + '"' + LINE.replace('"', '""') + '"'),
    "Caddy's console with ISO times": lines(
        "2024-05-01T12:00:0{i}.123Z\tINFO\thttp.log.access\thandled request\t"
        + json.dumps(
            {"request": {"remote_ip": "192.0.2.{i}", "method": "GET", "host": "a", "uri": TARGET}, "status": 2}
        )
    ),
    "API Gateway, with the query in lower case": objects(
        {
            "requestId": "r",
            "ip": "192.0.2.{i}",
            "requestTime": "01/May/2024:12:00:0{i} +0000",
            "httpMethod": "GET",
            "path": PATH,
            "querystring": QUERY,
            "status": "200",
        }
    ),
    "Vercel's columns": table(
        ("TimeUTC", "requestPath", "requestMethod", "requestQueryString", "clientIp"),
        ("2024-05-01 12:00:0{i}", PATH, "GET", QUERY, "192.0.2.{i}"),
    ),
    "semicolons": lines(f"192.0.2.{{i}};2024-05-01T12:00:0{{i}}+00:00;GET;{TARGET};200"),
    "commas": lines(f"2024-05-01 12:00:0{{i}},192.0.2.{{i}},GET,{TARGET},200,2"),
    "carets": lines(f"192.0.2.{{i}}^2024-05-01 12:00:0{{i}}^GET^{TARGET}^200"),
    "brackets": lines(f"[ip:192.0.2.{{i}}] [time:2024-05-01 12:00:0{{i}}] [GET {TARGET}] [200]"),
    "labelled tab-separated values": lines(
        f"time:2024-05-01T12:00:0{{i}}+00:00\tremote_addr:192.0.2.{{i}}\tmethod:GET\turi:{TARGET}\tstatus:200"
    ),
    "Monolog with an object and nothing behind it": lines(
        f'[2024-05-01 12:00:0{{i}}] production.INFO: GET {TARGET} {{"ip":"192.0.2.{{i}}"}} []'
    ),
    "a client with its port": lines(LINE.replace("192.0.2.{i}", "192.0.2.{i}:8080")),
    "a whole file of UTF-16 in gzip": lambda: gzip.compress(("\ufeff" + str(lines(LINE)())).encode("utf-16-be")),
    "pm2": lines("0|web  | 2024-05-01 12:00:0{i}: " + LINE),
    "a program on Heroku": lines("2024-05-01T12:00:0{i}.123456+00:00 app[web.1]: " + LINE),
    "a program on Fly.io": lines("2024-05-01T12:00:0{i}Z app[148e]  fra [info]" + LINE),
    "a drain of Heroku, without structured data": lines("280 <190>1 2024-05-01T12:00:0{i}Z host app web.1 - " + LINE),
    "the journal with microseconds": lines("May 01 12:00:0{i}.123456 web-1 nginx[812]: " + LINE),
    "grep in several files": lines("/var/log/nginx/access.log.1:1{i}:" + LINE),
    "zgrep": lines("access.log-20240501.gz:" + LINE),
    "grep with numbers": lines("1{i}:" + LINE),
    "Python's logging": lines("INFO:aiohttp.access:" + LINE),
    "IIS's own format with years of two digits": lines(
        f"192.0.2.{{i}}, -, 05/01/24, 12:00:0{{i}}, W3SVC1, WEB, 198.51.100.1, 4, 120, 2, 200, 0, GET, {PATH}, {QUERY},"
    ),
    "nginx with objects within": objects(
        {"time": "2024-05-01T12:00:0{i}+00:00", "client": {"ip": "192.0.2.{i}"}, "request": request("uri")}
    ),
    "slog": objects(
        {
            "time": "2024-05-01T12:00:0{i}Z",
            "level": "INFO",
            "msg": "x",
            "http": request(),
            "remote_addr": "192.0.2.{i}:1",
        }
    ),
    "winston": objects(
        {
            "level": "info",
            "message": "x",
            "timestamp": "2024-05-01T12:00:0{i}Z",
            "meta": {"req": request(ip="192.0.2.{i}"), "res": {"statusCode": 200}},
        }
    ),
    "zerolog": objects(
        {"level": "info", **request(), "status": 200, "remote": "192.0.2.{i}", "time": "2024-05-01T12:00:0{i}Z"}
    ),
    "HAProxy with common names": objects(
        {
            "timestamp": "01/May/2024:12:00:0{i}.250",
            "client_ip": "192.0.2.{i}",
            "frontend_name": "web",
            "status_code": 200,
            "http_request": f"GET {TARGET} HTTP/1.1",
        }
    ),
    "HAProxy with an object within": objects(
        {
            "time": "01/May/2024:12:00:0{i}.250",
            "haproxy_frontend_name": "web",
            "client": {"ip": "192.0.2.{i}"},
            "http": {"method": "GET", "request_uri": TARGET, "status": 200},
        }
    ),
    "Splunk's event collector": objects(
        {
            "time": f"{EPOCH // 10}{{i}}.5",
            "host": "web-1",
            "sourcetype": "x",
            "event": {"remote_addr": "192.0.2.{i}", "request": f"GET {TARGET} HTTP/1.1"},
        }
    ),
    "a message in no format": objects(
        {"timestamp": "2024-05-01T12:00:0{i}Z", "message": f'[GET]200 t.example.com{TARGET} clientIP="192.0.2.{{i}}"'}
    ),
    "a message of SQS": objects({"MessageId": "1", "ReceiptHandle": "r", "Body": LINE}),
    "fields of Elasticsearch": objects({"_index": "l", "_id": "1", "fields": {"message": [LINE]}}),
    "Kibana's columns": table(
        ("@timestamp", "source.ip", "http.request.method", "url.original"),
        ("May 1, 2024 @ 12:00:0{i}.123", "192.0.2.{i}", "GET", TARGET),
    ),
    "Log Analytics' columns": table(
        ("TimeGenerated [UTC]", "CsMethod", "CsUriStem", "CsUriQuery", "CIp", "ScStatus"),
        ("5/1/2024, 12:00:0{i}.123 PM", "GET", PATH, QUERY, "192.0.2.{i}", "200"),
    ),
    "Google's columns": table(
        ("httpRequest.requestMethod", "httpRequest.requestUrl", "httpRequest.remoteIp", "timestamp"),
        ("GET", f"https://t.example.com{TARGET}", "192.0.2.{i}", "2024-05-01T12:00:0{i}.123Z"),
    ),
    "columns of a spreadsheet": table(
        ("Date/Time", "IP Address", "Request URI"), ("2024-05-01 12:00:0{i}", "192.0.2.{i}", TARGET)
    ),
    "columns and times in German": table(("Zeit", "IP", "URL"), ("01.05.2024 12:00:0{i}", "192.0.2.{i}", TARGET), ";"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_holds_the_same_postbacks(kind: str, tmp_path: Path) -> None:
    data = KINDS[kind]()
    (tmp_path / "input").write_bytes(data if isinstance(data, bytes) else data.encode())
    summary = etl.run([tmp_path / "input"], tmp_path / "out", pii="keep")
    assert summary["rejections"]["by_reason"] == {}
    rows = pl.read_parquet(tmp_path / "out" / "conversions").sort("match_key")
    expected = [(f"abc{i}", f"T{i}", "acme", "shop") for i in (1, 2, 3)]
    assert rows.select("match_key", "transaction_id", "account_id", "integration").rows() == expected
    if kind not in ("a message of SQS", "fields of Elasticsearch"):
        assert rows["received_at"].dt.strftime("%F %T").to_list() == [f"2024-05-01 12:00:0{i}" for i in (1, 2, 3)]
    assert rows["client_ip"].to_list() == [f"192.0.2.{i}" for i in (1, 2, 3)]


#: Lines in no format; whatever stands behind the address is not part of it.
BEHIND: Final = {
    "Spring": f"DEBUG : Before request [uri={TARGET};client=192.0.2.1;session=A]",
    "a closing bracket": f"[ip=192.0.2.1] [uri={TARGET}] [status=200]",
    "a closing parenthesis": f"192.0.2.1 (uri={TARGET}) 200",
    "a closing brace": f"&{{Method:GET URL:{TARGET}}}",
    "a colon": f"GET {TARGET}: 200 OK",
    "a user agent": f"2024-05-01 12:00:00 GET {TARGET} {AGENT}",
    "a user agent in quotes": f'2024-05-01 12:00:00 https://t.example.com{TARGET} "{AGENT}"',
    "a program behind a tab": f"2024-05-01 12:00:00\t{TARGET}\tcurl/8",
    "a host": f"2024-05-01 12:00:00 GET {TARGET} t.example.com",
    "bytes": f"2024-05-01 12:00:00 GET {TARGET} 512 bytes",
    "a duration": f"{TARGET} 200 12ms",
    "an object": f'2024-05-01 12:00:00 GET {TARGET} {{"ip": "192.0.2.1"}}',
    "commas behind it alone": f"https://t.example.com{TARGET},200,2024-05-01 12:00:00",
    "pipes behind it alone": f"https://t.example.com{TARGET}|200|2024-05-01 12:00:00",
    "an arrow": f"GET {TARGET} -> 200",
}


@pytest.mark.parametrize("kind", BEHIND)
def test_an_address_ends_where_its_line_goes_on(kind: str, tmp_path: Path) -> None:
    query = QUERY.replace("transaction_id=T{i}&value=12.50", "value=12.50&transaction_id=T{i}")
    (tmp_path / "input").write_bytes(str(lines(BEHIND[kind].replace(QUERY, query))()).encode())
    etl.run([tmp_path / "input"], tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out" / "conversions")
    assert sorted(rows["transaction_id"]) == ["T1", "T2", "T3"]


def test_a_raw_blank_before_a_further_parameter_or_word_is_text(tmp_path: Path) -> None:
    texts = [f"{PATH}?click_id=a&brand_name=A B&value=1", f"{PATH}?click_id=b&value=1&brand_name=A B"]
    (tmp_path / "input").write_text("\n".join(texts), encoding="utf-8")
    etl.run([tmp_path / "input"], tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out" / "conversions")["brand_name"].to_list() == ["A B", "A B"]


def test_a_time_in_brackets_begins_no_json(tmp_path: Path) -> None:
    """An object behind a time is no second record."""
    (tmp_path / "input").write_text('[2024-05-01 12:00:00] received {"click_id": "a"} [] []\n' * 3, encoding="utf-8")
    assert etl.run([tmp_path / "input"], tmp_path / "out")["conversions"] == 3
