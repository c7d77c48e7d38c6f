"""What is known and not read is refused by name, with what to do instead; a few such lines in another log are not."""

from __future__ import annotations

import pytest

from etl.errors import FormatError
from etl.sources.detection import detect
from etl.sources.format import Settings
from etl.sources.formats.unsupported import BY_HEAD, BY_LINE

KNOWN: dict[str, bytes] = {
    "excel_xlsx": b"PK\x03\x04\x14\0\0\0" + bytes(22) + b"[Content_Types].xml",
    "encrypted_zip": b"PK\x03\x04\x14\0\x01\0" + bytes(22) + b"a.log",
    "inner_zip": b"PK\x03\x04\x14\0\0\0" + bytes(22) + b"a.log",
    "excel_xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00\x00",
    "gcloud_yaml": b"---\ninsertId: a\nlogName: projects/p/logs/stdout\ntextPayload: x\n",
    "journal_export": b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1714564800123456\n_HOSTNAME=web-1\nMESSAGE=x\n\n",
    "mitmproxy": b"2345:7:version;2:20#4:type;4:http;",
    "clickbank_encrypted": b'{"notification":"aGVsbG8=","iv":"AAAA"}\n',
    "event_xml": b'<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System></System></Event>\n',
    "cloudfront_rtmp": b"#Version: 1.0\n#Fields: date time x-edge-location c-ip x-event sc-bytes x-cf-status x-sname\n",
    "nginx_status": b'{"version":8,"nginx_version":"1.25.1","address":"192.0.2.1","connections":{"accepted":1}}\n',
    "nginx_error_log": b"2024/05/01 12:00:00 [error] 7#7: *1 open() failed, client: 192.0.2.7\n",
    "apache_error_log": b"[Wed May 01 12:00:00.123456 2024] [core:error] [pid 7] [client 192.0.2.7:1] AH00124: x\n",
    "tcp_load_balancer": b"May  1 12:00:00 h haproxy[7]: 192.0.2.7:1 [01/May/2024:12:00:00.285] main app/a -1/-1/1 212 SC 1/1/0/0/0 0/0\n",
    "uvicorn": b'INFO:     192.0.2.7:40000 - "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 OK\n',
    "morgan": b"GET /acme/collect/shop?click_id=a 200 2 - 0.512 ms\n",
    "ssl_request_log": b'[01/May/2024:12:00:00 +0000] 192.0.2.7 TLSv1.2 ECDHE-RSA "GET /acme/collect/shop HTTP/1.1" 5\n',
    "sql_dump": b'INSERT INTO `webhooks` VALUES (1,\'{\\"click_id\\": \\"a\\"}\');\n',
    "browser_hits": b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /assets/acme/collect?u=1 HTTP/1.1" 200 2 "-" "-"\n',
    "print_r": b"Array\n(\n    [click_id] => a\n    [value] => 1\n)\n",
}
COMBINED = b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2 "-" "-"\n'


@pytest.mark.parametrize("row", [*BY_HEAD, *BY_LINE], ids=lambda row: row.name)
def test_it_is_refused_by_name(row: object) -> None:
    name, what, advice = row.name, row.what, row.advice  # type: ignore[attr-defined]
    with pytest.raises(FormatError) as refused:
        detect((KNOWN[name],), "input", Settings())
    assert str(refused.value).splitlines() == [f"input is {what}.", advice]


@pytest.mark.parametrize("name", [row.name for row in BY_LINE])
def test_a_few_such_lines_do_not_make_the_file(name: str) -> None:
    lines = KNOWN[name] + COMBINED * 8
    assert detect((lines,), "input", Settings()).row.name == "combined"
