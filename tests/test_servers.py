"""Hard requests in the log of every server, written as that server escapes them: found, and read byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from etl.steps.parameter_table import split_forms
from tests import carried
from tests.records import HARD, decoded

PATH = b"/acme/collect/shop"
CLIENTS = (b"192.0.2.7", b"2001:db8::7")
PROTOCOLS = (b" HTTP/1.1", b" HTTP/2.0", b"")


def nginx(text: bytes) -> bytes:
    return b"".join(b"\\x%02X" % c if c < 32 or c > 126 or c in b'"\\' else bytes([c]) for c in text)


def apache(text: bytes) -> bytes:
    named = {8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 13: b"\\r", 34: b'\\"', 92: b"\\\\"}
    return b"".join(named.get(c) or (b"\\x%02x" % c if c < 32 or c > 126 else bytes([c])) for c in text)


def haproxy(text: bytes) -> bytes:
    return b"".join(b"#%02X" % c if c < 32 or c > 126 or c in b'"#' else bytes([c]) for c in text)


def cloudfront(text: bytes) -> bytes:
    return b"".join(b"%%%02X" % c if c < 33 or c > 126 or c in b"<>\"#%{}|\\^~[]`'" else bytes([c]) for c in text)


def python(text: bytes) -> bytes:
    return b"".join(b"\\x%02x" % c if c < 32 or 126 < c < 160 else b"\\\\" if c == 92 else bytes([c]) for c in text)


def raw(text: bytes) -> bytes:
    return text


Line = Callable[[bytes, bytes, bytes], bytes]
T = b"[01/May/2024:12:00:00 +0000]"

#: Server -> its format's name, how it writes what it was sent, and a line of its log by client, query and protocol.
SERVERS: dict[str, tuple[str, Callable[[bytes], bytes], Line]] = {
    "nginx": (
        "combined",
        nginx,
        lambda client, query, protocol: (
            b'%s - - %s "GET %s?%s%s" 200 2 "-" "Acme/1"' % (client, T, PATH, query, protocol)
        ),
    ),
    "nginx with X-Forwarded-For and times": (
        "combined",
        nginx,
        lambda client, query, protocol: (
            b'%s - john doe %s "GET %s?%s%s" 200 2 "-" "Acme/1" "192.0.2.9, 192.0.2.8" 0.226 - .'
            % (client, T, PATH, query, protocol)
        ),
    ),
    "nginx, list of clients first": (
        "combined",
        nginx,
        lambda client, query, protocol: (
            b'"%s, 10.0.0.1" - - %s "GET %s?%s%s" 200 2 "-" "-"' % (client, T, PATH, query, protocol)
        ),
    ),
    "ingress-nginx under CRI": (
        "combined",
        nginx,
        lambda client, query, protocol: (
            b'2024-05-01T12:00:00.123456789Z stdout F %s - - %s "GET %s?%s%s" 200 2 "-" "-" 99 0.1 '
            b"[default-web-80] [] 10.0.0.1:80, 10.0.0.2:80 0, 2 0.0, 0.1 502, 200 abc"
            % (client, T, PATH, query, protocol)
        ),
    ),
    "Apache common": (
        "common",
        apache,
        lambda client, query, protocol: b'%s - - %s "GET %s?%s%s" 200 2' % (client, T, PATH, query, protocol),
    ),
    "Apache combined": (
        "combined",
        apache,
        lambda client, query, protocol: (
            b'%s - - %s "GET %s?%s%s" 200 2 "-" "Acme \\"1\\""' % (client, T, PATH, query, protocol)
        ),
    ),
    "Apache with a virtual host": (
        "combined",
        apache,
        lambda client, query, protocol: (
            b't.example.com:443 %s - - %s "GET %s?%s%s" 200 2 "-" "-"' % (client, T, PATH, query, protocol)
        ),
    ),
    "Apache, the virtual host second, in docker compose": (
        "combined",
        apache,
        lambda client, query, protocol: (
            b'web-1  | %s t.example.com - %s "GET %s?%s%s" 200 2 "-" "-"' % (client, T, PATH, query, protocol)
        ),
    ),
    "Traefik": (
        "combined",
        raw,
        lambda client, query, protocol: (
            b'%s - - %s "GET %s?%s%s" 200 2 "-" "Acme/1" 1 "web@docker" "http://10.0.0.1:80" 2ms'
            % (client, T, PATH, query, protocol)
        ),
    ),
    "werkzeug": (
        "common",
        python,
        lambda client, query, protocol: (
            b'%s - - [01/May/2024 12:00:00] "GET %s?%s%s" 200 -' % (client, PATH, query, protocol)
        ),
    ),
    "ALB": (
        "aws_alb",
        raw,
        lambda client, query, protocol: (
            b"https 2024-05-01T12:00:01.000000Z app/lb/1 %s:2817 10.0.0.1:80 0.0 0.1 0.0 200 200 34 366 "
            b'"GET https://t.example.com:443%s?%s%s" "Acme/1" ECDHE TLSv1.2 arn:aws:x "Root=1" "t.example.com" "arn:aws:acm:x" 0 '
            b'2024-05-01T12:00:00.000000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1'
            % (client, PATH, query, protocol)
        ),
    ),
    "classic ELB": (
        "aws_elb",
        raw,
        lambda client, query, protocol: (
            b"2024-05-01T12:00:00.000000Z lb %s:2817 10.0.0.1:80 0.1 0.1 0.1 200 200 0 29 "
            b'"GET http://t.example.com:80%s?%s%s" "Acme/1" - -' % (client, PATH, query, protocol)
        ),
    ),
    "S3": (
        "aws_s3",
        raw,
        lambda client, query, protocol: (
            b'79a5 bucket %s %s - 3E57 WEBSITE.GET.OBJECT p.gif "GET %s?%s%s" 200 - 43 43 7 6 "-" '
            b'"Acme/1" - x= SigV4 - - b.example.com TLSv1.2 - -' % (T, client, PATH, query, protocol)
        ),
    ),
    "HAProxy": (
        "haproxy",
        haproxy,
        lambda client, query, protocol: (
            b"May  1 12:00:00 host haproxy[7]: %s:40000 [01/May/2024:12:00:00.000] web~ app/srv1 "
            b'0/0/1/0/2 200 168 - - ---- 6/6/0/0/0 0/0 {a b|} "GET %s?%s%s"' % (client, PATH, query, protocol)
        ),
    ),
    "Heroku": (
        "heroku",
        raw,
        lambda client, query, _protocol: (
            b'2024-05-01T12:00:00.000000+00:00 heroku[router]: at=info method=GET path="%s?%s" '
            b'host=t.example.com request_id=1 fwd="%s" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=https'
            % (PATH, query, client)
        ),
    ),
    "Envoy": (
        "envoy",
        raw,
        lambda client, query, protocol: (
            b'[2024-05-01T12:00:00.000Z] "GET %s?%s%s" 200 - 0 5 3 2 "%s" "Acme/1" "1" "t" "10.0.0.1:80"'
            % (PATH, query, protocol, client)
        ),
    ),
    "Istio": (
        "envoy",
        raw,
        lambda client, query, protocol: (
            b'[2024-05-01T12:00:00.000Z] "GET %s?%s%s" 200 - via_upstream - "-" 0 5 3 2 "%s" "Acme/1" '
            b'"1" "t" "10.0.0.1:80" outbound|80||web 10.0.0.1:1 10.0.0.2:80 10.0.0.3:1 - default'
            % (PATH, query, protocol, client)
        ),
    ),
    "nginx proxy manager": (
        "nginx_proxy_manager",
        nginx,
        lambda client, query, _protocol: (
            b'%s - 200 200 - GET https t.example.com "%s?%s" [Client %s] [Length 2] [Gzip -] '
            b'[Sent-to app] "Acme/1" "-"' % (T, PATH, query, client)
        ),
    ),
    "CloudFront": (
        "cloudfront",
        cloudfront,
        lambda client, query, protocol: b"\t".join(
            (
                *b"2024-05-01 12:00:00 FRA56-P1 703".split(),
                client,
                b"GET",
                b"d1.cloudfront.net",
                PATH,
                b"200",
                b"-",
                b"Acme",
                query,
            )
        ),
    ),
    "plain text": ("plain_text", raw, lambda client, query, protocol: b"2024-05-01 12:00:00 GET %s?%s" % (PATH, query)),
    "URLs": ("plain_text", raw, lambda client, query, protocol: b"https://t.example.com%s?%s" % (PATH, query)),
}


def requests_of(data: bytes, folder: Path) -> pl.DataFrame:
    found, requests = carried.requests_of(data, folder)
    return requests.with_columns(format=pl.lit(found.row.name))


def spoils(server: str, query: bytes) -> bool:
    """Whether a server's log does not tell where a raw query ends."""
    return server in ("URLs", "plain text") and b'" ' in query


def pairs_of(queries: pl.Series) -> list[list[tuple[str, str]]]:
    """The names and values of each query."""
    pairs = split_forms(queries).frame().select("row", "name", "value").rows_by_key("row")
    return [pairs.get(row, []) for row in range(len(queries))]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=["HTTP/1.1", "HTTP/2.0", "no protocol"])
@pytest.mark.parametrize("client", CLIENTS, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("server", SERVERS)
def test_hard_requests_are_read_byte_for_byte(server: str, client: bytes, protocol: bytes, tmp_path: Path) -> None:
    name, escape, line = SERVERS[server]
    queries = [query for query in HARD.values() if not spoils(server, query)]
    rows = requests_of(b"".join(line(client, escape(query), protocol) + b"\n" for query in queries), tmp_path)
    assert set(rows["format"]) == {name}
    assert rows["fault"].to_list() == [None] * len(queries), rows.filter(pl.col("fault").is_not_null())["raw"].to_list()
    assert set(rows["path"]) == {PATH.decode()}
    if server not in ("CloudFront", "plain text", "URLs"):
        assert set(rows["client_ip"]) == {client.decode()}
    if server != "URLs":
        assert {str(time) for time in rows["received_at"]} == {"2024-05-01 12:00:00+00:00"}
    assert pairs_of(rows["query"]) == [decoded(query) for query in queries]


IIS = (
    b"#Software: Microsoft Internet Information Services 10.0\n#Version: 1.0\n#Date: 2024-05-01 12:00:00\n"
    b"#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status\n"
)


@pytest.mark.parametrize("header", [IIS, b""], ids=["with its header", "without one"])
def test_hard_requests_of_iis(header: bytes, tmp_path: Path) -> None:
    queries = [query for query in HARD.values() if not {9, 32} & set(query) or header]
    lines = b"".join(
        b"2024-05-01 12:00:00 10.0.0.1 GET %s %s 443 - 2001:db8::7 Acme/1+(x) 200\n" % (PATH, query)
        for query in queries
    )
    rows = requests_of(header + lines, tmp_path).filter(pl.col("fault").ne_missing("comment"))
    assert rows["fault"].null_count() == len(queries)
    assert set(rows["format"]) == {"iis"}
    assert set(rows["user_agent"]) == {"Acme/1 (x)"}
    assert pairs_of(rows["query"]) == [decoded(query) for query in queries]


def test_fields_that_change_within_a_file(tmp_path: Path) -> None:
    other = b"#Fields: time c-ip cs-method cs-uri sc-status\n12:00:01 192.0.2.7 GET /a/collect/b?x=2 200\n"
    lines = IIS + b"2024-05-01 12:00:00 10.0.0.1 GET /a/collect/b x=1 443 - ::1%0 Acme/1 200\n" + other
    rows = requests_of(lines, tmp_path).filter(pl.col("fault").is_null())
    assert rows.select(pl.col("query"), pl.col("client_ip"), pl.col("received_at").dt.second()).rows() == [
        ("x=1", "::1%0", 0),
        ("x=2", "192.0.2.7", 1),
    ]


def test_kinds_of_lines_that_servers_mix_in_one_file(tmp_path: Path) -> None:
    lines = [
        SERVERS[name][2](b"192.0.2.7", b"x=1", b" HTTP/1.1")
        for name in ("ALB", "classic ELB", "Apache common", "nginx")
    ]
    lines += [
        b"tls 2.0 2024-05-01T12:00:00 net/lb/1 1 192.0.2.7:51341 10.0.0.1:443 5 2 98 246 - arn:aws:x - - tlsv12 - - - - -",
        b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "- - -" - - "-" "-" 1 "-" "-" 0ms',
        b'::1 - - [01/May/2024:12:00:00 +0000] "-" 408 -',
        json.dumps({"level": "info", "ts": 1714564800.5, "logger": "http.log", "msg": "server running"}).encode(),
    ]
    rows = requests_of(b"\n".join(lines), tmp_path)
    assert rows["fault"].to_list() == [None] * 4 + ["not_a_request"] * 4


def test_a_line_that_was_cut_is_malformed_and_never_a_shorter_request(tmp_path: Path) -> None:
    line = SERVERS["HAProxy"][2](b"192.0.2.7", b"click_id=abcdef", b" HTTP/1.1")
    rows = requests_of(line + b"\n" + line[:-14] + b"\n", tmp_path)
    assert rows["fault"].to_list() == [None, "malformed_record"]
