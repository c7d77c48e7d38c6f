"""Messages of queues, topics and streams: the records that they carry.

SQS, SNS, Kinesis, Firehose, CloudWatch Logs, Kafka (MSK, `kcat -J`, Connect), one within another too. A bare payload
becomes an envelope of the contract with the message's time; what is itself a request or a line of a log stays as it is.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from etl.columnar import json_codec
from etl.sources.formats.json_logs import FORMATS as ACCESS_LOGS
from etl.sources.formats.lambda_events import FORMATS as EVENTS
from etl.sources.formats.webhook_captures import FORMATS as CAPTURES
from etl.sources.readers import webhook_envelopes
from etl.sources.readers.json_matching import at, choice
from etl.sources.readers.request_fields import body_text, instant_of

#: What all messages within one record may inflate to, and how deep they may be one within another.
MAX_INFLATED: Final = 32 * 1024 * 1024
MAX_DEPTH: Final = 6

_GZIP: Final = b"\x1f\x8b"
_FORM: Final = re.compile(rb"\??[A-Za-z_][\w.\[\]%+-]*=[^\s\"]*\s*")
#: Names of which every message envelope has one, and how those begin that hold no other object.
_NAMES: Final = re.compile(rb'"(?:[Rr]ecords|topic|schema|logEvents|Messages|TopicArn|awslogs)"')
_FLAT: Final = re.compile(rb'\s*\{\s*"(?:topic|Type|schema)"')
_TOPS, _, _ROW_OF = choice((*EVENTS, *CAPTURES, *ACCESS_LOGS))


class _Message(NamedTuple):
    content: bytes
    sent_at: Any


class _TooMuchError(ValueError):
    """The messages inflate to more than MAX_INFLATED."""


def unwrapped(record: bytes) -> list[bytes]:
    r"""The records within a message envelope, or the record itself. Whatever the bytes, it never raises.

    Examples:
        >>> unwrapped(b'{"topic": "t", "offset": 1, "ts": 1714564800123, "payload": "click_id=a"}')
        [b'{"received_at":"2024-05-01T12:00:00.123000+00:00","body":"click_id=a"}']
        >>> unwrapped(b'{"click_id": "a", "records": [1], "data": {}}')
        [b'{"click_id": "a", "records": [1], "data": {}}']
    """
    if not _may_hold_messages(record):
        return [record]
    try:
        return _Unwrapping().records(record, 0) or [record]
    except (_TooMuchError, RecursionError):
        return [record]


def _may_hold_messages(text: bytes) -> bool:
    """Whether a message may be in the text: only flat payloads, which are the most, have to be told quickly."""
    is_flat = text.count(b"{") < 2 and not _FLAT.match(text)
    return not is_flat and bool(_NAMES.search(text))


class _Unwrapping:
    """What is left of the limit while one record is unwrapped."""

    def __init__(self) -> None:
        self.room = MAX_INFLATED

    def records(self, text: bytes, depth: int) -> list[bytes] | None:
        """The records within a text; None where it is no message envelope."""
        if depth > MAX_DEPTH or not _may_hold_messages(text):
            return None
        try:
            value = json_codec.parse(text)
        except json_codec.JsonError:
            return None
        if not isinstance(value, dict):
            return None
        messages = next((found for read in _READERS if (found := read(value)) is not None), None)
        if messages is None:
            return None
        return [inner for message in messages for inner in self._inner(message, depth)]

    def _inner(self, message: _Message, depth: int) -> list[bytes]:
        content = self._inflated(message.content) if message.content.startswith(_GZIP) else message.content
        records = self.records(content, depth + 1)
        return [_as_record(content, message.sent_at)] if records is None else records

    def _inflated(self, packed: bytes) -> bytes:
        inflater = zlib.decompressobj(wbits=31)
        try:
            content = inflater.decompress(packed, self.room + 1)
        except zlib.error:
            return packed
        self.room -= len(content)
        if self.room < 0:
            raise _TooMuchError
        return content


def _as_record(content: bytes, sent_at: Any) -> bytes:
    """A message's content: a form in an envelope, a bare payload too if the message has a time."""
    text = json_codec.scalar(sent_at)
    instant = instant_of(text) if text else None
    if not _FORM.fullmatch(content) and (instant is None or not _is_payload(content)):
        return content
    return orjson.dumps({"received_at": instant and instant.isoformat(), "body": body_text(content)})


def _is_payload(content: bytes) -> bool:
    try:
        value = json_codec.parse(content)
    except json_codec.JsonError:
        return False
    if not isinstance(value, dict) or webhook_envelopes.is_envelope(value):
        return False
    return _TOPS.isdisjoint(value) or _ROW_OF(value) is None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> bytes | None:
    """A message's content; an object, as some exports have it, as JSON text."""
    if isinstance(value, str):
        return value.encode()
    return json_codec.dump(value).encode() if isinstance(value, dict) else None


def _base64(value: Any) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None


class _Shape(NamedTuple):
    """A list of messages: where it is, what else marks it, and where its messages hold what."""

    messages: str
    marks: tuple[str, ...]
    content: str
    times: tuple[str, ...] = ()
    decode: Callable[[Any], bytes | None] = _text


_SHAPES: Final = (
    _Shape("Records", (), "Sns.Message", ("Sns.Timestamp",)),
    _Shape("Records", (), "kinesis.data", ("kinesis.approximateArrivalTimestamp",), _base64),
    _Shape("records", ("deliveryStreamArn|requestId",), "data", ("approximateArrivalTimestamp",), _base64),
    _Shape("logEvents", ("logGroup", "messageType"), "message", ("timestamp",)),
)
_SQS_KEYS: Final = ("receiptHandle", "messageId", "eventSourceARN", "md5OfBody")
_SQS_OUTPUT_KEYS: Final = ("ReceiptHandle", "MessageId", "MD5OfBody")


def _listed(shape: _Shape) -> Callable[[dict[str, Any]], list[_Message] | None]:
    def read(value: dict[str, Any]) -> list[_Message] | None:
        items = value.get(shape.messages)
        is_marked = all(any(key in value for key in mark.split("|")) for mark in shape.marks)
        if not is_marked or not isinstance(items, list) or not items:
            return None
        contents = [shape.decode(at(item, shape.content)) if isinstance(item, dict) else None for item in items]
        times = [
            next((t for path in shape.times if (t := at(item, path))), value.get("timestamp"))
            for item in _objects(items)
        ]
        if any(content is None for content in contents):
            return None
        return [_Message(content or b"", time) for content, time in zip(contents, times, strict=True)]

    return read


def _read_sqs(value: dict[str, Any]) -> list[_Message] | None:
    """Events of SQS, and what `aws sqs receive-message` prints."""
    for name, content, keys, attributes in (
        ("Records", "body", _SQS_KEYS, "attributes"),
        ("Messages", "Body", _SQS_OUTPUT_KEYS, "Attributes"),
    ):
        items = _objects(value.get(name))
        if items and all(isinstance(item.get(content), str) and any(key in item for key in keys) for item in items):
            return [_Message(item[content].encode(), at(item, f"{attributes}.SentTimestamp")) for item in items]
    return None


def _read_notification(value: dict[str, Any]) -> list[_Message] | None:
    if value.get("Type") != "Notification" or "TopicArn" not in value or not isinstance(value.get("Message"), str):
        return None
    return [_Message(value["Message"].encode(), value.get("Timestamp"))]


def _read_cloudwatch(value: dict[str, Any]) -> list[_Message] | None:
    content = _base64(at(value, "awslogs.data"))
    return None if content is None or not content.startswith(_GZIP) else [_Message(content, None)]


def _read_kafka(value: dict[str, Any]) -> list[_Message] | None:
    """Events of Lambda's Kafka sources: topic and partition -> messages."""
    topics = value.get("records")
    if not isinstance(topics, dict) or not ("bootstrapServers" in value or "eventSource" in value):
        return None
    items = [item for messages in topics.values() for item in _objects(messages)]
    return [
        _Message(json_codec.dump(sent).encode() if (content := _base64(sent)) is None else content, time)
        for sent, time in ((item.get("value"), item.get("timestamp")) for item in items)
    ] or None


def _read_kcat(value: dict[str, Any]) -> list[_Message] | None:
    content = _text(value.get("payload"))
    is_kcat = isinstance(value.get("topic"), str) and ("offset" in value or "partition" in value)
    return [_Message(content, value.get("ts"))] if is_kcat and content is not None else None


def _read_connect(value: dict[str, Any]) -> list[_Message] | None:
    """Kafka Connect's JSON converter: a schema beside the payload, and nothing else."""
    schema = value.get("schema")
    is_schema = schema is None or (isinstance(schema, dict) and "type" in schema)
    content = _text(value.get("payload"))
    return [_Message(content, None)] if value.keys() == {"schema", "payload"} and is_schema and content else None


_READERS: Final = (
    *map(_listed, _SHAPES),
    _read_sqs,
    _read_notification,
    _read_cloudwatch,
    _read_kafka,
    _read_kcat,
    _read_connect,
)
