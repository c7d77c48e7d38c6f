"""Extracts the records that messages of queues, topics and streams carry.

Supported are SQS, SNS, Kinesis, Firehose, CloudWatch Logs and Kafka (MSK, `kcat -J`, Connect), also nested. A bare
payload becomes an envelope of the contract with the message's time. Requests and log lines stay unchanged.
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
from etl.sources.readers.json_matching import format_matcher, value_at
from etl.sources.readers.request_fields import body_text, instant_of

#: Limits for one record: the decompressed bytes of all its messages, and the depth of nesting.
MAX_INFLATED: Final = 32 * 1024 * 1024
MAX_DEPTH: Final = 6

_GZIP: Final = b"\x1f\x8b"
_FORM: Final = re.compile(rb"\??[A-Za-z_][\w.\[\]%+-]*=[^\s\"]*\s*")
#: Every message envelope has one of these names. Envelopes that contain no further object begin with `_FLAT`.
_NAMES: Final = re.compile(rb'"(?:[Rr]ecords|topic|schema|logEvents|Messages|TopicArn|awslogs)"')
_FLAT: Final = re.compile(rb'\s*\{\s*"(?:topic|Type|schema)"')
_TOP_KEYS, _, _FORMAT_OF = format_matcher((*EVENTS, *CAPTURES, *ACCESS_LOGS))


class _Message(NamedTuple):
    """The content of a message, and its time as the envelope writes it."""

    content: bytes
    sent_at: Any


class _TooMuchError(ValueError):
    """The messages of a record decompress to more than MAX_INFLATED bytes."""


def unwrap_messages(record: bytes) -> list[bytes]:
    r"""Returns the records within a message envelope, or the record itself. Never raises, whatever the bytes.

    Examples:
        >>> unwrap_messages(b'{"topic": "t", "offset": 1, "ts": 1714564800123, "payload": "click_id=a"}')
        [b'{"received_at":"2024-05-01T12:00:00.123000+00:00","body":"click_id=a"}']
        >>> unwrap_messages(b'{"click_id": "a", "records": [1], "data": {}}')
        [b'{"click_id": "a", "records": [1], "data": {}}']
    """
    if not _may_hold_messages(record):
        return [record]
    try:
        return _Unwrapper().records(record, 0) or [record]
    except (_TooMuchError, RecursionError):
        return [record]


def _may_hold_messages(text: bytes) -> bool:
    """Whether a text may be a message envelope. This check is quick for flat payloads, the most common records."""
    is_flat = text.count(b"{") < 2 and not _FLAT.match(text)
    return not is_flat and bool(_NAMES.search(text))


class _Unwrapper:
    """Unwraps one record; `bytes_left` is the number of bytes that its messages may still decompress to."""

    def __init__(self) -> None:
        self.bytes_left = MAX_INFLATED

    def records(self, text: bytes, depth: int) -> list[bytes] | None:
        """Returns the records within a text; None if the text is not a message envelope."""
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
        """Returns the records within a message, which may itself be a message envelope."""
        content = self._inflated(message.content) if message.content.startswith(_GZIP) else message.content
        records = self.records(content, depth + 1)
        return [_as_record(content, message.sent_at)] if records is None else records

    def _inflated(self, packed: bytes) -> bytes:
        """Decompresses gzip bytes within the limit; returns them unchanged if they are damaged."""
        inflater = zlib.decompressobj(wbits=31)
        try:
            content = inflater.decompress(packed, self.bytes_left + 1)
        except zlib.error:
            return packed
        self.bytes_left -= len(content)
        if self.bytes_left < 0:
            raise _TooMuchError
        return content


def _as_record(content: bytes, sent_at: Any) -> bytes:
    """Returns a message's content as a record.

    A form becomes an envelope with the message's time. So does a bare payload, if the message has a time.
    """
    text = json_codec.scalar(sent_at)
    instant = instant_of(text) if text else None
    if not _FORM.fullmatch(content) and (instant is None or not _is_payload(content)):
        return content
    return orjson.dumps({"received_at": instant and instant.isoformat(), "body": body_text(content)})


def _is_payload(content: bytes) -> bool:
    """Whether a message's content is a bare payload: an object that is no envelope and in no other format."""
    try:
        value = json_codec.parse(content)
    except json_codec.JsonError:
        return False
    if not isinstance(value, dict) or webhook_envelopes.is_envelope(value):
        return False
    return _TOP_KEYS.isdisjoint(value) or _FORMAT_OF(value) is None


def _objects(value: Any) -> list[dict[str, Any]]:
    """Returns the objects in a list; none if the value is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _content_bytes(value: Any) -> bytes | None:
    """Returns the bytes of a message's content, which may be text or, in some exports, an object."""
    if isinstance(value, str):
        return value.encode()
    return json_codec.dump(value).encode() if isinstance(value, dict) else None


def _base64(value: Any) -> bytes | None:
    """Decodes base64 text; None if the value is not valid base64."""
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None


class _ListEnvelope(NamedTuple):
    """An envelope with a list of messages.

    Attributes:
        messages: The key of the list.
        marks: Further keys of the envelope; one of each alternative separated by `|` must be present.
        content: The path of a message's content.
        times: The paths of a message's time; else the envelope's `timestamp` counts.
        decode: Turns the content into bytes; None if it is not valid.
    """

    messages: str
    marks: tuple[str, ...]
    content: str
    times: tuple[str, ...] = ()
    decode: Callable[[Any], bytes | None] = _content_bytes


_LIST_ENVELOPES: Final = (
    _ListEnvelope("Records", (), "Sns.Message", ("Sns.Timestamp",)),
    _ListEnvelope("Records", (), "kinesis.data", ("kinesis.approximateArrivalTimestamp",), _base64),
    _ListEnvelope("records", ("deliveryStreamArn|requestId",), "data", ("approximateArrivalTimestamp",), _base64),
    _ListEnvelope("logEvents", ("logGroup", "messageType"), "message", ("timestamp",)),
)
_SQS_KEYS: Final = ("receiptHandle", "messageId", "eventSourceARN", "md5OfBody")
_SQS_OUTPUT_KEYS: Final = ("ReceiptHandle", "MessageId", "MD5OfBody")


def _list_reader(envelope: _ListEnvelope) -> Callable[[dict[str, Any]], list[_Message] | None]:
    """Returns a function that extracts the messages of an envelope; None if a value is no such envelope."""

    def read(value: dict[str, Any]) -> list[_Message] | None:
        items = value.get(envelope.messages)
        is_marked = all(any(key in value for key in mark.split("|")) for mark in envelope.marks)
        if not is_marked or not isinstance(items, list) or not items:
            return None
        contents = [
            envelope.decode(value_at(item, envelope.content)) if isinstance(item, dict) else None for item in items
        ]
        times = [
            next((time for path in envelope.times if (time := value_at(item, path))), value.get("timestamp"))
            for item in _objects(items)
        ]
        if any(content is None for content in contents):
            return None
        return [_Message(content or b"", time) for content, time in zip(contents, times, strict=True)]

    return read


def _read_sqs(value: dict[str, Any]) -> list[_Message] | None:
    """Extracts messages from SQS events, and from the output of `aws sqs receive-message`."""
    for name, content, keys, attributes in (
        ("Records", "body", _SQS_KEYS, "attributes"),
        ("Messages", "Body", _SQS_OUTPUT_KEYS, "Attributes"),
    ):
        items = _objects(value.get(name))
        if items and all(isinstance(item.get(content), str) and any(key in item for key in keys) for item in items):
            return [_Message(item[content].encode(), value_at(item, f"{attributes}.SentTimestamp")) for item in items]
    return None


def _read_notification(value: dict[str, Any]) -> list[_Message] | None:
    """Extracts the message of an SNS notification."""
    if value.get("Type") != "Notification" or "TopicArn" not in value or not isinstance(value.get("Message"), str):
        return None
    return [_Message(value["Message"].encode(), value.get("Timestamp"))]


def _read_cloudwatch(value: dict[str, Any]) -> list[_Message] | None:
    """Extracts the compressed log events of a CloudWatch Logs subscription."""
    content = _base64(value_at(value, "awslogs.data"))
    return None if content is None or not content.startswith(_GZIP) else [_Message(content, None)]


def _read_kafka(value: dict[str, Any]) -> list[_Message] | None:
    """Extracts messages from events of Lambda's Kafka sources, which map topic and partition to messages."""
    topics = value.get("records")
    if not isinstance(topics, dict) or not ("bootstrapServers" in value or "eventSource" in value):
        return None
    items = [item for messages in topics.values() for item in _objects(messages)]
    return [
        _Message(json_codec.dump(sent).encode() if (content := _base64(sent)) is None else content, time)
        for sent, time in ((item.get("value"), item.get("timestamp")) for item in items)
    ] or None


def _read_kcat(value: dict[str, Any]) -> list[_Message] | None:
    """Extracts the message of a line of `kcat -J`."""
    content = _content_bytes(value.get("payload"))
    is_kcat = isinstance(value.get("topic"), str) and ("offset" in value or "partition" in value)
    return [_Message(content, value.get("ts"))] if is_kcat and content is not None else None


def _read_connect(value: dict[str, Any]) -> list[_Message] | None:
    """Extracts the message of Kafka Connect's JSON converter: an object with the keys schema and payload only."""
    schema = value.get("schema")
    is_schema = schema is None or (isinstance(schema, dict) and "type" in schema)
    content = _content_bytes(value.get("payload"))
    return [_Message(content, None)] if value.keys() == {"schema", "payload"} and is_schema and content else None


_READERS: Final = (
    *map(_list_reader, _LIST_ENVELOPES),
    _read_sqs,
    _read_notification,
    _read_cloudwatch,
    _read_kafka,
    _read_kcat,
    _read_connect,
)
