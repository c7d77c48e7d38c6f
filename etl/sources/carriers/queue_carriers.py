"""Defines the carriers of messages: SQS, SNS, Kinesis, Firehose, CloudWatch subscriptions and Kafka."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from etl.columnar import json_codec
from etl.sources.carriers.carrier import Carrier, Content, text_of
from etl.sources.readers.json_matching import value_at

_TEXT: Final = rb'"{\"click_id\": \"a\"}"'
_PAYLOAD: Final = (b'{"click_id": "a"}',)
_BASE64: Final = base64.b64encode(_PAYLOAD[0])
_AWS: Final = "https://docs.aws.amazon.com/lambda/latest/dg/"
_GZIP: Final = b"\x1f\x8b"


def _base64(value: Any) -> bytes | None:
    """Decodes base64 text; None if the value is not valid base64."""
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None


def _content(value: Any, time: str | None = None) -> Content:
    """Returns the content of a message in base64; other text stands for itself, as raw records show it."""
    text = _base64(value)
    return Content(text_of(value), time) if text is None else Content(text, time, encoded=value)


def _objects(value: Any) -> list[dict[str, Any]]:
    """Returns the objects in a list; none if the value is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


class _List(NamedTuple):
    """A list of messages in an object.

    Attributes:
        messages: The key of the list.
        marks: Further keys of the object; one of each alternative separated by `|` must be present.
        content: The path of a message's content.
        times: The paths of a message's time; else the object's `timestamp` counts.
        content_of: Makes the content of a message of its value and time.
        keys: Each message has one of these keys; empty: any.
    """

    messages: str
    marks: tuple[str, ...]
    content: str
    times: tuple[str, ...] = ()
    content_of: Callable[[Any, str | None], Content] = lambda value, time: Content(text_of(value), time)
    keys: tuple[str, ...] = ()


def _unpack_list(held: _List) -> Callable[[Any], list[Content] | None]:
    """Returns a function that unpacks the messages of a list; it returns None if a value holds no such list."""

    def unpack(value: Any) -> list[Content] | None:
        items = value.get(held.messages)
        is_marked = all(any(key in value for key in mark.split("|")) for mark in held.marks)
        if not is_marked or not isinstance(items, list) or len(_objects(items)) < max(1, len(items)):
            return None
        whole_time = value.get("timestamp")
        if held.keys and not all(any(key in item for key in held.keys) for item in items):
            return None
        times = (
            json_codec.scalar(next((time for path in held.times if (time := value_at(item, path))), whole_time))
            for item in items
        )
        contents = list(map(held.content_of, (value_at(item, held.content) for item in items), times))
        return None if any(content.text is None for content in contents) else contents

    return unpack


def _unpack_notification(value: Any) -> list[Content] | None:
    """Unpacks the message of an SNS notification."""
    if value.get("Type") != "Notification" or "TopicArn" not in value or not isinstance(value.get("Message"), str):
        return None
    return [Content(text_of(value["Message"]), json_codec.scalar(value.get("Timestamp")))]


def _unpack_subscription(value: Any) -> list[Content] | None:
    """Unpacks the compressed log events of a CloudWatch Logs subscription."""
    content = _content(value_at(value, "awslogs.data"))
    return [content] if content.text is not None and content.text.startswith((_GZIP, b"{")) else None


def _unpack_kafka(value: Any) -> list[Content] | None:
    """Unpacks events of Lambda's Kafka sources, which map topic and partition to messages."""
    topics = value.get("records")
    if not isinstance(topics, dict) or not ("bootstrapServers" in value or "eventSource" in value):
        return None
    items = [item for messages in topics.values() for item in _objects(messages)]
    return [_content(item.get("value"), json_codec.scalar(item.get("timestamp"))) for item in items] or None


def _unpack_kcat(value: Any) -> list[Content] | None:
    """Unpacks the message of a line of `kcat -J`."""
    content = text_of(value.get("payload"))
    is_kcat = isinstance(value.get("topic"), str) and ("offset" in value or "partition" in value)
    return [Content(content, json_codec.scalar(value.get("ts")))] if is_kcat and content is not None else None


def _unpack_connect(value: Any) -> list[Content] | None:
    """Unpacks the message of Kafka Connect's JSON converter: an object with the keys schema and payload only."""
    schema = value.get("schema")
    is_schema = schema is None or (isinstance(schema, dict) and "type" in schema)
    content = text_of(value.get("payload"))
    return [Content(content)] if value.keys() == {"schema", "payload"} and is_schema and content else None


def _carrier(name: str, what: str, page: str, unpack: Callable[[Any], list[Content] | None], sample: bytes) -> Carrier:
    """Returns a carrier of messages whose sample carries one payload."""
    carried = (b'{"click_id":"a"}',) if b'{"click_id":"a"}' in sample else _PAYLOAD
    return Carrier(name, what, page, ((sample, carried),), unpack=unpack)


_SQS_KEYS: Final = ("receiptHandle", "messageId", "eventSourceARN", "md5OfBody")
_SQS_OUTPUT_KEYS: Final = ("ReceiptHandle", "MessageId", "MD5OfBody")

QUEUE_CARRIERS: Final = (
    _carrier(
        "sqs",
        "Event of an SQS queue",
        f"{_AWS}with-sqs.html",
        _unpack_list(_List("Records", (), "body", ("attributes.SentTimestamp",), keys=_SQS_KEYS)),
        b'{"Records":[{"messageId":"1","body":' + _TEXT + b',"attributes":{"SentTimestamp":"1714564800000"}}]}',
    ),
    _carrier(
        "sqs_output",
        "Output of `aws sqs receive-message`",
        "https://docs.aws.amazon.com/cli/latest/reference/sqs/receive-message.html",
        _unpack_list(_List("Messages", (), "Body", ("Attributes.SentTimestamp",), keys=_SQS_OUTPUT_KEYS)),
        b'{"Messages":[{"MessageId":"1","Body":' + _TEXT + b',"Attributes":{"SentTimestamp":"1714564800000"}}]}',
    ),
    _carrier(
        "sns_event",
        "Event of an SNS topic",
        f"{_AWS}with-sns.html",
        _unpack_list(_List("Records", (), "Sns.Message", ("Sns.Timestamp",))),
        b'{"Records":[{"Sns":{"Message":' + _TEXT + b',"Timestamp":"2024-05-01T12:00:00Z"}}]}',
    ),
    _carrier(
        "sns",
        "Notification of an SNS topic",
        "https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html",
        _unpack_notification,
        b'{"Type":"Notification","TopicArn":"arn","Message":' + _TEXT + b',"Timestamp":"2024-05-01T12:00:00Z"}',
    ),
    _carrier(
        "kinesis",
        "Event of a Kinesis stream",
        f"{_AWS}with-kinesis.html",
        _unpack_list(_List("Records", (), "kinesis.data", ("kinesis.approximateArrivalTimestamp",), _content)),
        b'{"Records":[{"kinesis":{"data":"' + _BASE64 + b'","approximateArrivalTimestamp":1714564800.5}}]}',
    ),
    _carrier(
        "firehose",
        "Request of a Firehose delivery stream",
        "https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html",
        _unpack_list(
            _List("records", ("deliveryStreamArn|requestId",), "data", ("approximateArrivalTimestamp",), _content)
        ),
        b'{"requestId":"1","timestamp":1714564800000,"records":[{"data":"' + _BASE64 + b'"}]}',
    ),
    _carrier(
        "cloudwatch",
        "Batch of log events of CloudWatch Logs",
        "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html",
        _unpack_list(_List("logEvents", (), "message", ("timestamp",))),
        b'{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":[{"timestamp":1714564800000,"message":'
        + _TEXT
        + b"}]}",
    ),
    Carrier(
        "cloudwatch_subscription",
        "Compressed batch of log events of a CloudWatch Logs subscription",
        f"{_AWS}services-cloudwatchlogs.html",
        (),
        unpack=_unpack_subscription,
    ),
    _carrier(
        "kafka_event",
        "Event of a Kafka topic in Lambda",
        f"{_AWS}with-msk.html",
        _unpack_kafka,
        b'{"eventSource":"aws:kafka","records":{"t-0":[{"value":"' + _BASE64 + b'","timestamp":1714564800000}]}}',
    ),
    _carrier(
        "kcat",
        "Message of a Kafka topic by `kcat -J`",
        "https://github.com/edenhill/kcat",
        _unpack_kcat,
        b'{"topic":"t","offset":1,"ts":1714564800000,"payload":' + _TEXT + b"}",
    ),
    _carrier(
        "kafka_connect",
        "Message of Kafka Connect's JSON converter",
        "https://docs.confluent.io/platform/current/connect/",
        _unpack_connect,
        b'{"schema":{"type":"struct"},"payload":{"click_id":"a"}}',
    ),
)
