"""JSON access logs, captures, events and messages: every row reads its samples, and hard requests come out whole."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl.columnar import json_codec
from etl.sources.carriers import opening
from etl.sources.carriers.opening import Opener
from etl.sources.carriers.queue_carriers import QUEUE_CARRIERS
from etl.sources.format import Format, Settings
from etl.sources.formats import json_logs, lambda_events, webhook_captures
from etl.sources.readers import json_records
from etl.sources.readers.escapes import ESCAPES
from etl.sources.readers.request_fields import instant_of
from etl.sources.readers.webhook_envelopes import read_record
from etl.sources.record import Record
from etl.sources.records.json_documents import Element, read_documents
from etl.steps.parameter_table import split_forms
from tests.effort import draws
from tests.places import SHARED, reads_shared
from tests.records import HARD, decoded

ROWS = (*json_logs.FORMATS, *webhook_captures.FORMATS, *lambda_events.FORMATS)
SAMPLES = [pytest.param(row, sample, id=f"{row.name} {i}") for row in ROWS for i, sample in enumerate(row.samples)]
CORPORA = SHARED / "corpora"
needs_cloudfront = pytest.mark.skipif("cloudfront" not in ESCAPES, reason="CloudFront's escape is not known here")

KNOWN = tuple(row for row in ROWS if row.escape in ESCAPES)

read = json_records.start(KNOWN, Settings())


def unwrapped(record: bytes) -> list[bytes]:
    """What a record carries, by carriers that are messages of queues."""
    return [held.text for held in Opener((QUEUE_CARRIERS,) * 4).carried(record)]


def claimants(record: bytes) -> list[str]:
    return [row.name for row in ROWS if json_records.claims(row, record)]


# --- every row ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "sample"), SAMPLES)
def test_a_row_reads_its_samples_and_no_other_claims_them(row: Format, sample: bytes) -> None:
    assert claimants(sample) == [row.name]
    if row.escape not in ESCAPES:
        pytest.skip(f"the escape {row.escape} is not known here")
    record = read(sample)
    assert record.fault in (None, "not_a_request")
    assert record.fault or record.path or row.is_body_logged
    assert row.moment == "none" or record.received_at or record.fault or row.name == "segment_capture"


PAYLOADS = [
    b'{"click_id":"a","value":1,"status":"approved","event":"x","data":{"a":1}}',
    b'{"type":"charge.succeeded","data":{"object":{"id":"ch_1","amount":1}},"created":1714564800}',
    b'{"id":1,"line_items":[{"id":2}],"total_price":"1.00","created_at":"2024-05-01T12:00:00Z","token":"t"}',
    b'{"click_id":"a","url":"https://shop.example.com/a","path":"/a","status":"paid","ip":"192.0.2.7","time":1}',
    b'{"request":"call me","status":"new","time":"noon","ip":"192.0.2.7"}',
    b'{"message":"thanks","level":"gold","time":"2024-05-01T12:00:00Z"}',
    b'{"records":[1,2],"entries":[],"log":"x","uri":"shop/1","status":1,"timestamp":1714564800}',
    b'{"method":"POST","path":"/a/collect/b","headers":{"User-Agent":"x"},"body":"click_id=a","status":200}',
    b'{"received_at":1714564800,"method":"GET","url":"/a/collect/b?click_id=a","client_ip":"192.0.2.7","query":""}',
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_row_claims_a_payload_or_an_envelope(payload: bytes) -> None:
    assert claimants(payload) == []
    assert read(payload) == read_record(payload)
    assert unwrapped(payload) == [payload]


def test_no_row_claims_what_the_cases_of_the_page_hold() -> None:
    cases = [
        case
        for path in sorted((Path(__file__).parent / "cases").glob("*.toml"))
        for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
    ]
    texts = [case[kind].encode() for case in cases for kind in ("json", "dump") if kind in case]
    records = [element.text for text in texts for part in read_documents(io.BytesIO(text), 10**7) for element in part]
    assert len(records) > 100
    for record in records:
        # An envelope may say its address as nginx does; both readings are one.
        assert claimants(record) == (["nginx_json"] if b'"request_uri"' in record else [])
        assert unwrapped(record) == [record]
        if b"\\x" not in record:
            assert read(record) == read_record(record)


def test_any_bytes_are_read_without_an_exception() -> None:
    chance = random.Random(7)
    seeds = [sample for row in ROWS for sample in row.samples] + PAYLOADS
    for _ in range(draws(1000, 4000)):
        text = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(text))
            text[place : place + chance.randint(0, 3)] = chance.choice(
                [b"", b"\xff", b"\\", b'"', b"null", b"{", b"[]", b"\\x9", b"\\xE9", b"\\ud800", b"1", b"-"]
            )
        record = read(bytes(text))
        assert record.fault in (None, "malformed_record", "malformed_body", "not_a_request")
        pl.Series([record.query, record.body, record.path, record.user_agent], dtype=pl.String)
        json.dumps([record.fields, record.query_fields]).encode()
        for inner in unwrapped(bytes(text)):
            read(inner)


# --- single traps ---------------------------------------------------------------------------------------------

TRAPS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "Caddy's error log repeats a request that the access log has": (
        b'{"level":"error","ts":1,"logger":"http.log.error.log0","msg":"x","request":{"method":"GET","uri":"/a"}}',
        {"fault": "not_a_request"},
    ),
    "a duration in Go's notation is subtracted": (
        b'{"ts":"2024-05-01T12:00:01Z","duration":"1m0.5s","request":{"method":"GET","uri":"/a"}}',
        {"received_at": "2024-05-01 11:59:00.500000+00:00"},
    ),
    "Traefik writes numbers as text too": (
        b'{"RequestPath":"/a?b=1","DownstreamStatus":"302","StartUTC":"2024-05-01T12:00:00.123456789Z","Duration":"1"}',
        {"http_status": 302, "received_at": "2024-05-01 12:00:00.123456+00:00"},
    ),
    "an IPv6 client with a port": (
        (
            b'{"start_time":"2024-05-01T12:00:00Z","path":"/a","response_code":200,"response_flags":"-",'
            b'"downstream_remote_address":"[2001:db8::7]:443"}'
        ),
        {"client_ip": "2001:db8::7", "path": "/a"},
    ),
    "Cloudflare in seconds": (
        b'{"ClientRequestURI":"/a?b","EdgeStartTimestamp":1714564800}',
        {"received_at": "2024-05-01 12:00:00+00:00"},
    ),
    "Cloudflare in RFC 3339": (
        b'{"ClientRequestURI":"/a?b","EdgeStartTimestamp":"2024-05-01T12:00:00.5Z"}',
        {"received_at": "2024-05-01 12:00:00.500000+00:00"},
    ),
    "a time that does not exist": (
        b'{"ClientRequestURI":"/a?b","EdgeStartTimestamp":"2024-13-01T12:00:00Z"}',
        {"fault": "malformed_record"},
    ),
    "an nginx time of the common log": (
        b'{"time_local":"01/May/2024:14:00:00 +0200","request":"GET /a?b HTTP/1.1","status":"200"}',
        {"received_at": "2024-05-01 12:00:00+00:00", "query": "b"},
    ),
    "the URI as sent comes before the request line and the arguments": (
        b'{"msec":1714564800.5,"request_uri":"/a?b=%201","uri":"/x","args":"c","request":"GET /y","status":200}',
        {"path": "/a", "query": "b=%201"},
    ),
    "a normalised URI with its arguments": (
        b'{"msec":1714564800.5,"uri":"/a","args":"c=1","request_method":"POST","request_body":"d=2","status":200}',
        {"path": "/a", "query": "c=1", "body": "d=2", "http_method": "POST"},
    ),
    "an HTTP archive's body in base64": (
        (
            b'{"startedDateTime":"2024-05-01T12:00:00Z","request":{"method":"POST","url":"https://a.example/b",'
            b'"postData":{"mimeType":"","text":"eD0x","encoding":"base64"}}}'
        ),
        {"body": "x=1"},
    ),
    "a body that is not the base64 it is said to be": (
        b'{"rawPath":"/a","rawQueryString":"b","body":"%%","isBase64Encoded":true}',
        {"fault": "malformed_body"},
    ),
    "a body in base64 that is": (
        b'{"rawPath":"/a","rawQueryString":"b","body":"eyJ4IjoxfQ==","isBase64Encoded":true}',
        {"body": '{"x":1}', "fault": None},
    ),
    "what ngrok captured is no base64": (
        b'{"tunnel_name":"t","start":"2024-05-01T12:00:00Z","request":{"method":"GET","uri":"/a?b","raw":"<BYTES>"}}',
        {"path": "/a", "query": "b", "body": None},
    ),
}


@pytest.mark.parametrize(("record", "expected"), TRAPS.values(), ids=TRAPS)
def test_trap(record: bytes, expected: dict[str, Any]) -> None:
    seen = read(record)._asdict()
    seen["received_at"] = seen["received_at"] and str(seen["received_at"])
    assert {name: seen[name] for name in expected} == expected


# --- what a user says -----------------------------------------------------------------------------------------

COLUMNS: dict[str, tuple[dict[str, str], bytes, dict[str, Any]]] = {
    "columns alone read a record": (
        {"received_at": "created", "payload": "body"},
        b'{"created":"2024-05-01 12:00:00","body":"{\\"click_id\\":\\"a\\"}"}',
        {"received_at": "2024-05-01 10:00:00+00:00", "body": '{"click_id":"a"}', "fields": None, "path": None},
    ),
    "a payload may be an object at a path": (
        {"payload": "doc.raw"},
        b'{"doc":{"raw":{"click_id":"a"}}}',
        {"fields": {"click_id": "a"}},
    ),
    "a URL gives path and query": (
        {"url": "u", "http_status": "code"},
        b'{"u":"https://a.example/a/collect/b?x=1","code":"201"}',
        {"path": "/a/collect/b", "query": "x=1", "http_status": 201, "fields": None},
    ),
    "a time beside a bare payload": (
        {"received_at": "at"},
        b'{"at":1714564800,"click_id":"a"}',
        {"received_at": "2024-05-01 12:00:00+00:00", "fields": {"at": 1714564800, "click_id": "a"}},
    ),
    "columns come before a format's own keys": (
        {"client_ip": "headers.cf"},
        b'{"ClientRequestURI":"/a?b","ClientIP":"192.0.2.7","headers":{"cf":"203.0.113.9"}}',
        {"client_ip": "203.0.113.9", "path": "/a"},
    ),
    "a record without the columns is read as ever": ({"payload": "doc"}, b'{"x":1}', {"fields": {"x": 1}}),
}


@pytest.mark.parametrize(("columns", "record", "expected"), COLUMNS.values(), ids=COLUMNS)
def test_columns(columns: dict[str, str], record: bytes, expected: dict[str, Any]) -> None:
    settings = Settings(timezone="Europe/Berlin", columns=tuple(columns.items()))
    seen = json_records.start(KNOWN, settings)(record)
    got = {**seen._asdict(), "received_at": seen.received_at and str(seen.received_at)}
    assert {name: got[name] for name in expected} == expected


def test_a_user_row_needs_no_marks() -> None:
    own = Format("own", "json", "", "", keys={"target": ("req.line",), "time": ("at",)}, is_zoned=False)
    seen = json_records.start((own,), Settings(timezone="Asia/Tokyo", formats=(own,)))(
        b'{"req":{"line":"/a?b"},"at":"2024-05-01 12:00:00"}'
    )
    assert (seen.path, seen.query, str(seen.received_at)) == ("/a", "b", "2024-05-01 03:00:00+00:00")


# --- hard requests --------------------------------------------------------------------------------------------


def raw_json(text: bytes) -> bytes:
    """nginx with escape=json: bytes from 0x80 stay."""
    named = {8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r", 34: b'\\"', 92: b"\\\\"}
    return b"".join(named.get(c) or (b"\\u%04X" % c if c < 32 else bytes([c])) for c in text)


def hex_escaped(text: bytes) -> bytes:
    """nginx's default: not JSON."""
    return b"".join(b"\\x%02X" % c if c < 32 or c > 126 or c in b'"\\' else bytes([c]) for c in text)


def filled(template: str, target: bytes, escape: Callable[[bytes], bytes] = raw_json) -> bytes:
    path, _, query = target.partition(b"?")
    record = template.encode()
    for name, value in (("TARGET", target), ("PATH", path), ("QUERY", query)):
        record = record.replace(name.encode(), escape(value))
    return record


T = '"2024-05-01T12:00:00Z"'
RAW: dict[str, Callable[[bytes], bytes]] = {
    "nginx escape=json": lambda t: filled(f'{{"time":{T},"request":"GET TARGET HTTP/1.1","status":200}}', t),
    "nginx request_uri": lambda t: filled(f'{{"time":{T},"request_uri":"TARGET","remote_addr":"::1"}}', t),
    "nginx uri and args": lambda t: filled(f'{{"time":{T},"uri":"PATH","args":"QUERY","status":"200"}}', t),
    "nginx default escape": lambda t: filled(
        f'{{"time":{T},"request":"GET TARGET HTTP/1.1","status":200}}', t, hex_escaped
    ),
    "nginx without protocol": lambda t: filled(f'{{"time":{T},"request":"GET TARGET","status":200}}', t, hex_escaped),
    "Caddy": lambda t: filled('{"ts":1714564800.5,"duration":0.5,"request":{"method":"GET","uri":"TARGET"}}', t),
    "Traefik": lambda t: filled(f'{{"RequestPath":"TARGET","RequestMethod":"GET","StartUTC":{T}}}', t),
    "Cloudflare": lambda t: filled('{"ClientRequestURI":"TARGET","EdgeStartTimestamp":1714564800000000000}', t),
    "GCP": lambda t: filled(
        f'{{"httpRequest":{{"requestUrl":"https://a.example:443TARGET","requestMethod":"GET"}},"timestamp":{T}}}', t
    ),
    "Azure gateway": lambda t: filled(
        f'{{"timeStamp":{T},"properties":{{"httpMethod":"GET","httpStatus":200,'
        '"requestUri":"PATH","requestQuery":"QUERY"}}',
        t,
    ),
    "Azure Front Door": lambda t: filled(
        f'{{"time":{T},"properties":{{"httpMethod":"GET","httpStatusCode":"200",'
        '"requestUri":"https://a.example:443TARGET"}}',
        t,
    ),
    "Akamai": lambda t: filled('{"reqTimeSec":"1714564800","reqPath":"PATH","queryStr":"QUERY"}', t),
    "Envoy": lambda t: filled(f'{{"start_time":{T},"path":"TARGET","method":"GET","response_code":200}}', t),
    "Fastly": lambda t: filled(f'{{"timestamp":{T},"url":"TARGET","request_method":"GET","response_status":200}}', t),
    "API Gateway v2": lambda t: filled('{"rawPath":"PATH","rawQueryString":"QUERY","requestContext":{"http":{}}}', t),
    "HAR": lambda t: filled(
        f'{{"startedDateTime":{T},"request":{{"method":"GET","url":"https://a.exampleTARGET"}}}}', t
    ),
    "webhook.site": lambda t: filled(
        '{"uuid":"u","token_id":"t","created_at":"2024-05-01 12:00:00","method":"GET","url":"https://a.exampleTARGET"}',
        t,
    ),
    "ngrok": lambda t: json.dumps(
        {
            "tunnel_name": "t",
            "start": "2024-05-01T12:00:00Z",
            "request": {
                "method": "GET",
                "uri": t.decode("utf-8", "replace"),
                "raw": base64.b64encode(b"GET " + t + b" HTTP/1.1\r\nHost: a\r\n\r\n").decode(),
            },
        }
    ).encode(),
}
ENCODED: dict[str, Callable[[list[tuple[str, str]]], dict[str, Any]]] = {
    "API Gateway v1": lambda pairs: {
        "httpMethod": "GET",
        "path": "/a/collect/b",
        "multiValueQueryStringParameters": grouped(pairs),
        "requestContext": {"requestTimeEpoch": 1714564800000},
    },
    "load balancer": lambda pairs: {
        "httpMethod": "GET",
        "path": "/a/collect/b",
        "multiValueQueryStringParameters": grouped(pairs),
        "requestContext": {"elb": {}},
    },
}


def grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, value in pairs:
        groups.setdefault(name, []).append(value)
    return groups


def params_of(record: Record) -> list[tuple[str, str]]:
    if record.query_fields:
        return record.query_fields
    return split_forms(pl.Series([record.query], dtype=pl.String)).frame().select("name", "value").rows()


@pytest.mark.parametrize("query", HARD.values(), ids=HARD)
@pytest.mark.parametrize("render", RAW.values(), ids=RAW)
def test_a_hard_request_decodes_to_what_was_sent(render: Callable[[bytes], bytes], query: bytes) -> None:
    record = read(render(b"/a/collect/b?" + query))
    assert (record.fault, record.path) == (None, "/a/collect/b")
    assert params_of(record) == decoded(query)


@pytest.mark.parametrize("query", HARD.values(), ids=HARD)
def test_a_gateway_that_decodes_gives_what_it_decoded(query: bytes) -> None:
    sent = decoded(query)
    record = read(json.dumps(ENCODED["API Gateway v1"](sent)).encode())
    assert sorted(params_of(record)) == sorted(sent)


@pytest.mark.parametrize("query", [query for query in HARD.values() if query.isascii()])
def test_a_load_balancer_leaves_values_encoded(query: bytes) -> None:
    pieces = [piece.partition(b"=") for piece in query.split(b"&") if piece]
    event = ENCODED["load balancer"]([(name.decode(), value.decode()) for name, _, value in pieces])
    assert sorted(params_of(read(json.dumps(event).encode()))) == sorted(decoded(query))


@pytest.mark.parametrize("query", HARD.values(), ids=HARD)
@pytest.mark.parametrize("key", ["body", "raw"])
def test_a_body_in_base64_decodes_to_what_was_sent(key: str, query: bytes) -> None:
    event: dict[str, Any] = {"rawPath": "/a", "rawQueryString": "", "isBase64Encoded": True}
    event["body"] = base64.b64encode(query).decode()
    if key == "raw":
        raw = base64.b64encode(b"POST /a HTTP/1.1\r\n\r\n" + query).decode()
        event = {"tunnel_name": "t", "start": "2024-05-01T12:00:00Z", "request": {"uri": "/a", "raw": raw}}
    record = read(json.dumps(event).encode())
    assert split_forms(pl.Series([record.body])).frame().select("name", "value").rows() == decoded(query)


@needs_cloudfront
def test_cloudfront_doubles_percent_signs() -> None:
    record = b'{"timestamp":"1714564800","cs-uri-stem":"/a","cs-uri-query":"x=%2541%20"}'
    assert read(record).query == "x=%41%20"
    plain = json_records.start(json_logs.FORMATS, Settings(is_cloudfront_encoded=False))
    assert plain(record).query == "x=%2541%20"


def test_repair_leaves_what_is_json_alone() -> None:
    record = rb'{"a":"\\x22\\\\x41","b":"\x22\x5C\x0A\xC3\xA9"}'
    assert json_codec.parse(json_codec.repair_escapes(record)) == {"a": "\\x22\\\\x41", "b": '"\\\né'}


@pytest.mark.parametrize("depth", [500, 501, 950, 100_000])
def test_half_of_a_character_at_any_depth_never_raises(depth: int) -> None:
    record = b'{"a":' + b"[" * (depth - 1) + rb'"\ud800"' + b"]" * (depth - 1) + b"}"
    assert (read(record).fault == "malformed_record") is (depth > 500)


# --- containers -----------------------------------------------------------------------------------------------


class Slow(io.BytesIO):
    """A stream that gives few bytes at a time."""

    step = 1 << 20

    def read(self, _size: int | None = -1) -> bytes:
        return super().read(self.step)


def elements(text: bytes, container: tuple[str, ...], step: int = 1 << 20, limit: int = 10**6) -> list[Element]:
    stream = Slow(text)
    stream.step = step
    return [element for part in read_documents(stream, limit, container) for element in part]


WRAPPED: dict[str, tuple[bytes, tuple[str, ...], list[bytes]]] = {
    "the elements of the array, and nothing else": (
        b'{"total": 2, "data": [{"a": 1}, {"b": [1, {"data": []}]}], "next": {"data": [{"c": 1}]}}',
        ("data",),
        [b'{"a": 1}', b'{"b": [1, {"data": []}]}'],
    ),
    "a path of keys": (b'{"log": {"pages": [{}], "entries": [1]}}', ("log", "entries"), [b"1"]),
    "pages one after another": (b'{"data": [1]}\n{"data": [2]}\n', ("data",), [b"1", b"2"]),
    "an array of pages": (b'[{"data": [1]}, {"data": [2], "x": 1}]', ("data",), [b"1", b"2"]),
    "an object without the container is an element": (
        b'{"data": {"x": []}} {"data": [2]}',
        ("data",),
        [b'{"data": {"x": []}}', b"2"],
    ),
    "an array that is none of objects with the container": (b'[{"a": 1}, 2]', ("data",), [b'{"a": 1}', b"2"]),
    "an empty array": (b'{"data": []}', ("data",), []),
    "cut off within an element": (b'{"data": [{"a": 1}, {"b": ', ("data",), [b'{"a": 1}', b'{"b":']),
    "cut off after the array": (b'{"data": [1], "x": {"y"', ("data",), [b"1"]),
    "cut off before the array": (b'{"x": 1, "dat', ("data",), [b'{"x": 1, "dat']),
    "a key in other letters": (b'{"d\\u0061ta": [1]}', ("data",), [b"1"]),
    "brackets and quotes in texts": (b'{"x": "\\"data\\": [9]", "data": ["]}", 2]}', ("data",), [b'"]}"', b"2"]),
    "a byte order mark": (b'\xef\xbb\xbf{"data": [1]}', ("data",), [b"1"]),
}


@pytest.mark.parametrize(("text", "container", "expected"), WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("step", [4, 7, 1 << 20])
def test_container(text: bytes, container: tuple[str, ...], expected: list[bytes], step: int) -> None:
    found = elements(text, container, step)
    assert [element.text for element in found] == expected
    assert [text[element.offset : element.offset + element.length] for element in found] == expected


def test_containers_of_random_documents_are_read_as_json_reads_them() -> None:
    chance = random.Random(3)

    def value(depth: int) -> Any:
        kind = chance.random() if depth < 3 else 1
        if kind < 0.3:
            return {chance.choice(["data", "log", 'a"b', "x\\", "é", "b,"]): value(depth + 1) for _ in range(3)}
        return [value(depth + 1)] * chance.randint(0, 3) if kind < 0.5 else chance.choice([1, "x", 'q"[{', "\\", None])

    for _ in range(draws(40, 150)):
        container = chance.choice([("data",), ("log", "entries")])
        records = [[{"v": value(0), "data": value(1)} for _ in range(chance.randint(0, 3))] for _ in range(3)]
        pages: list[Any] = []
        for items in records:
            inner: Any = {"x": value(1), container[-1]: items, "y": value(1)}
            pages.append(inner if len(container) == 1 else {"p": value(1), container[0]: inner, "q": value(1)})
        indent = chance.choice([None, 1])
        text = json.dumps(pages, indent=indent) if chance.random() < 0.5 else " ".join(json.dumps(p) for p in pages)
        whole = elements(text.encode(), container)
        assert [json.loads(element.text) for element in whole] == [item for items in records for item in items]
        step, cut = chance.randint(4, 30), chance.randint(0, len(text))
        assert elements(text.encode(), container, step) == whole
        assert elements(text.encode(), container, step, 20) == elements(text.encode(), container, limit=20)
        assert elements(text[:cut].encode(), container, step) == elements(text[:cut].encode(), container)


def test_a_container_is_found_in_the_first_bytes() -> None:
    for row in ROWS:
        wrapped: Any = [json.loads(row.samples[0])] * 2
        for key in reversed(row.container):
            wrapped = {"first": 1, key: wrapped}
        sample = json.dumps(wrapped).encode()
        assert json_records.container_of(sample[:-3], ROWS) == row.container
    assert json_records.container_of(b'{"data": [{"click_id": "a"}], "records": [{"x": 1}]}', ROWS) == ()


# --- messages -------------------------------------------------------------------------------------------------


def b64(text: bytes) -> str:
    return base64.b64encode(text).decode()


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


INNER = b'{"click_id":"a"}'
#: The payload, in a message with a time.
TIMED = (INNER, "2024-05-01 12:00:00+00:00")
LAMBDA = lambda_events.FORMATS[1].samples[0]
LOGS = dumped(
    {
        "messageType": "DATA_MESSAGE",
        "logGroup": "g",
        "logEvents": [{"timestamp": 1714564800000, "message": "192.0.2.7 - - [x]"}, {"message": INNER.decode()}],
    }
)
MESSAGES: dict[str, tuple[bytes, list[Any]]] = {
    "SQS": (
        dumped(
            {"Records": [{"messageId": "m", "body": INNER.decode(), "attributes": {"SentTimestamp": "1714564800000"}}]}
        ),
        [TIMED],
    ),
    "what the SQS command line prints": (dumped({"Messages": [{"MessageId": "m", "Body": INNER.decode()}]}), [INNER]),
    "a Lambda event in SQS stays": (
        dumped({"Records": [{"messageId": "m", "body": LAMBDA.decode(), "attributes": {"SentTimestamp": "1"}}]}),
        [LAMBDA],
    ),
    "SNS": (
        dumped({"Records": [{"Sns": {"Message": INNER.decode(), "Timestamp": "2024-05-01T12:00:00Z"}}]}),
        [TIMED],
    ),
    "SNS in SQS": (
        dumped(
            {
                "Records": [
                    {
                        "receiptHandle": "r",
                        "body": json.dumps(
                            {
                                "Type": "Notification",
                                "TopicArn": "arn",
                                "Message": INNER.decode(),
                                "Timestamp": "2024-05-01T12:00:00Z",
                            }
                        ),
                    }
                ]
            }
        ),
        [TIMED],
    ),
    "Kinesis": (
        dumped({"Records": [{"kinesis": {"data": b64(INNER), "approximateArrivalTimestamp": 1714564800.0}}]}),
        [TIMED],
    ),
    "Firehose": (
        dumped(
            {"deliveryStreamArn": "a", "records": [{"data": b64(INNER), "approximateArrivalTimestamp": 1714564800000}]}
        ),
        [TIMED],
    ),
    "CloudWatch": (dumped({"awslogs": {"data": b64(gzip.compress(LOGS))}}), [b"192.0.2.7 - - [x]", INNER]),
    "CloudWatch in Kinesis": (
        dumped({"Records": [{"kinesis": {"data": b64(gzip.compress(LOGS))}}]}),
        [b"192.0.2.7 - - [x]", INNER],
    ),
    "MSK": (
        dumped({"eventSource": "aws:kafka", "records": {"t-0": [{"value": b64(INNER), "timestamp": 1714564800000}]}}),
        [TIMED],
    ),
    "kcat": (dumped({"topic": "t", "offset": 1, "ts": 1714564800000, "payload": INNER.decode()}), [TIMED]),
    "Connect": (dumped({"schema": {"type": "struct"}, "payload": {"click_id": "a"}}), [INNER]),
    "a form in kcat": (
        dumped({"topic": "t", "offset": 1, "ts": 1714564800000, "payload": "click_id=a&b=%C3%A9"}),
        [(b"click_id=a&b=%C3%A9", TIMED[1])],
    ),
    "a payload with a topic": (dumped({"topic": "t", "payload": "p", "click_id": "a"}), []),
    "a payload with records": (dumped({"Records": [{"body": "x"}], "click_id": "a"}), []),
    "a payload with a schema": (dumped({"schema": "v1", "payload": {"a": 1}, "click_id": "a"}), []),
    "events of S3": (dumped({"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "k"}}}]}), []),
    "logs that are no gzip": (dumped({"awslogs": {"data": b64(b"\x1f\x8bno")}}), [b"\x1f\x8bno"]),
    "logs that are no base64": (dumped({"awslogs": {"data": "%"}}), []),
}


@pytest.mark.parametrize(("record", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_message(record: bytes, expected: list[Any]) -> None:
    found = Opener((QUEUE_CARRIERS,) * 4).carried(record)
    times = [held.time and str(instant_of(held.time)) for held in found]
    wanted = expected or [record]
    texts = [held.text for held in found]
    assert texts == [want[0] if isinstance(want, tuple) else want for want in wanted]
    assert all(time == want[1] for time, want in zip(times, wanted, strict=True) if isinstance(want, tuple))


def test_a_bomb_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MAX_INFLATED", 1 << 16)
    bomb = b64(gzip.compress(bytes(1 << 20)))
    many = dumped({"Records": [{"kinesis": {"data": bomb}}] * 3})
    small = dumped({"Records": [{"kinesis": {"data": b64(gzip.compress(bytes(1 << 15)))}}] * 3})
    assert unwrapped(many) == [many]
    assert unwrapped(small) == [small]


def test_messages_within_messages_end() -> None:
    record = INNER
    for _ in range(30):
        record = dumped({"topic": "t", "offset": 1, "payload": json.loads(record)})
    assert len(unwrapped(record)) == 1


# --- real files -----------------------------------------------------------------------------------------------

REAL = {
    "access_logs/azure": {"azure_application_gateway"},
    "access_logs/caddy_json": {"caddy", "log_event"},
    "access_logs/cloudflare_logpush": {"cloudflare_logpush"},
    "access_logs/envoy_istio": {"envoy_json"},
    "access_logs/traefik_json": {"traefik_json"},
    "webhooks/har": {"har"},
    "webhooks/lambda_apigw": {"api_gateway_v1", "api_gateway_v2", "load_balancer_event"},
    "webhooks/ngrok": {"ngrok"},
    "webhooks/shopify": set(),
    "webhooks/stripe": set(),
    "webhooks/woocommerce": set(),
    "webhooks/snowplow": set(),
}


@reads_shared
@pytest.mark.parametrize(("folder", "names"), REAL.items(), ids=REAL)
def test_real_files_are_in_the_formats_they_are_in(folder: str, names: set[str]) -> None:
    seen: set[str] = set()
    for path in sorted((CORPORA / folder).iterdir()):
        text = path.read_bytes()
        container = json_records.container_of(text, ROWS)
        found = elements(text, container)
        if folder.startswith("access_logs"):
            lines = [line[line.find(b"{") :] for line in text.split(b"\n") if line.find(b"{") >= 0]
            found = [Element(line.strip(), 0, len(line)) for line in lines]
        for element in found:
            for record in unwrapped(element.text):
                claimed = claimants(record)
                assert len(claimed) <= 1
                seen |= set(claimed)
                read_in = read(record)
                if claimed and claimed[0] not in ("log_event", "envoy_json"):
                    assert read_in.fault is None
                    assert read_in.path is not None
    assert seen == names
