"""Defines the carriers of OpenTelemetry, and those that are no objects: lines as JSON strings, Fluent Bit's output."""

from __future__ import annotations

import re
from typing import Any, Final

from etl.columnar import json_codec
from etl.sources.carriers.carrier import Carrier, Content, as_bytes, text_of

_LINE: Final = b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2'
_PAYLOAD: Final = b'{"click_id": "a"}'
_TEXT: Final = rb'"{\"click_id\": \"a\"}"'
_RECORD: Final = b'{"timeUnixNano":"1714564800123000000","body":%s,"attributes":%s}'
_OTLP: Final = "https://opentelemetry.io/docs/specs/otlp/"

#: Negative mark: attributes that describe a request.
_DESCRIBED: Final = "!" + "|".join(
    f"attributes.{name}"
    for name in ("http.request.method", "http.method", "url.path", "url.full", "http.target", "http.url")
)

#: The keys that lead to the records and to the spans of an export.
_LISTS: Final = (
    ("resourceLogs", "scopeLogs", "logRecords"),
    ("resourceSpans", "scopeSpans", "spans"),
)
_TIMES: Final = ("timeUnixNano", "startTimeUnixNano", "observedTimeUnixNano")

_FLUENT_BIT: Final = re.compile(rb"\[\d+\] [^\s:]+: \[\[?(\d+(?:\.\d+)?)(?:, \{[^{}]*\}\])?, (\{.*\})\]\s*", re.DOTALL)
#: A text, closed or not, or the arrow between a name and its value.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|=>', re.DOTALL)


def _plain(value: Any) -> Any:
    """Returns the value in an object of one key that names its type, such as `stringValue`."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, inner),) = value.items()
    if kind == "arrayValue":
        return [_plain(one) for one in _list(inner, "values")]
    return _named(_list(inner, "values")) if kind == "kvlistValue" else inner


def _list(value: Any, key: str) -> list[Any]:
    """Returns the list under a key; empty if there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _named(pairs: Any) -> dict[str, Any]:
    """Returns the attributes in a list of keys and values."""
    return {str(pair.get("key")): _plain(pair.get("value")) for pair in pairs if isinstance(pair, dict)}


def _otlp_records(value: Any) -> list[Content] | None:
    """Returns the records and spans of an export, or the one record; their attributes become objects."""
    if isinstance(value.get("attributes"), list) and any(key in value for key in _TIMES):
        return [_record_content(value)]
    lists = next((keys for keys in _LISTS if isinstance(value.get(keys[0]), list)), None)
    if lists is None:
        return None
    scopes = [scope for resource in value[lists[0]] for scope in _list(resource, lists[1])]
    records = [record for scope in scopes for record in _list(scope, lists[2]) if isinstance(record, dict)]
    return [_record_content(record) for record in records] or None


def _record_content(record: dict[str, Any]) -> Content:
    """Returns a record with its attributes as an object and its body as text."""
    attributes = _named(_list(record, "attributes"))
    plain = {**record, "attributes": attributes} | ({"body": _plain(record["body"])} if "body" in record else {})
    time = next((text for key in _TIMES if (text := json_codec.scalar(record.get(key))) not in (None, "", "0")), None)
    return Content(as_bytes(json_codec.compact(plain)), time)


def _quoted_text(text: bytes) -> Content | None:
    """Returns the text in a JSON string."""
    if text[:1] != b'"':
        return None
    try:
        value = json_codec.parse_exactly(text)
    except json_codec.JsonError:
        return None
    return Content(text_of(value)) if isinstance(value, str) else None


def _fluent_bit(text: bytes) -> Content | None:
    """Returns the record in a line of Fluent Bit's standard output, as JSON."""
    match = _FLUENT_BIT.fullmatch(text) if text[:1] == b"[" else None
    if match is None:
        return None
    record = _TOKEN.sub(lambda token: b":" if token[0] == b"=>" else token[0], match[2])
    return Content(record, match[1].decode()) if json_codec.is_json(record) else None


TELEMETRY_CARRIERS: Final = (
    Carrier(
        "fluent_bit",
        "Line of Fluent Bit's standard output: number, tag, time and record",
        "https://docs.fluentbit.io/manual/pipeline/outputs/standard-output",
        (
            (b'[0] app: [[1714564800.123456789, {}], {"click_id"=>"a", "n"=>5}]', (b'{"click_id":"a", "n":5}',)),
            (b'[0] app: [1714564800.123456789, {"click_id"=>"a=>b"}]', (b'{"click_id":"a=>b"}',)),
        ),
        open=_fluent_bit,
    ),
    Carrier(
        "otlp",
        "Export of OpenTelemetry in JSON, with the log records or spans of several resources, or one record of it",
        _OTLP,
        (
            (
                b'{"resourceLogs":[{"scopeLogs":[{"logRecords":['
                + _RECORD % (b'"x"', b'[{"key":"url.path","value":{"stringValue":"/a"}}]')
                + b"]}]}]}",
                (_RECORD % (b'"x"', b'{"url.path":"/a"}'),),
            ),
            (
                _RECORD % (b'{"stringValue":"x"}', b'[{"key":"http.method","value":{"stringValue":"GET"}}]'),
                (_RECORD % (b'"x"', b'{"http.method":"GET"}'),),
            ),
        ),
        unpack=_otlp_records,
    ),
    Carrier(
        "otel_body",
        "Log record of OpenTelemetry with a line as its body",
        "https://opentelemetry.io/docs/specs/otel/logs/data-model/",
        (
            (
                b'{"timestamp":"2024-05-01T12:00:00.1Z","severity_text":"INFO","body":' + _TEXT + b',"attributes":{}}',
                (_PAYLOAD,),
            ),
        ),
        marks=(
            "body",
            "attributes|Attributes",
            "severity_text|severityText|severityNumber|SeverityText|timeUnixNano|observedTimeUnixNano",
            "!method|path|url|headers|received_at|query",
            _DESCRIBED,
        ),
        carried=("body",),
        times=("timeUnixNano", "timestamp", "Timestamp", "observedTimeUnixNano"),
    ),
    Carrier(
        "json_text",
        "Line as a JSON string, such as an element of an array of lines",
        "https://www.rfc-editor.org/rfc/rfc8259#section-7",
        ((b'"' + _LINE.replace(b'"', b'\\"') + b'"', (_LINE,)),),
        open=_quoted_text,
        is_clear=False,
    ),
)
