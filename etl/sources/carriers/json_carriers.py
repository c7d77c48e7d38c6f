"""Defines the carriers in JSON that hold one text each: container runtimes, log shippers and log stores."""

from __future__ import annotations

from typing import Any, Final

from etl.columnar import json_codec
from etl.sources.carriers.carrier import CarriedPiece, Carrier, Content, Pieces, as_bytes, text_of

_PAYLOAD: Final = (b'{"click_id": "a"}',)
_TEXT: Final = rb'"{\"click_id\": \"a\"}"'


def _bytes_or_text(value: Any) -> bytes | None:
    """Returns the bytes of a text, or of an array of bytes, as the journal writes text that is not printable."""
    if isinstance(value, list):
        try:
            return bytes(value)
        except (TypeError, ValueError):
            return None
    return text_of(value)


def _only_text(value: Any) -> bytes | None:
    """Returns the bytes of a text or object, or of the only text of an array."""
    return text_of(value[0] if isinstance(value, list) and len(value) == 1 else value)


def _is_whole_docker(record: bytes) -> bool:
    """Whether a record, as Docker writes it, plainly ends with a line end."""
    end = record.find(rb'\n","stream":"')
    return record.startswith(b'{"log":"') and end > 0 and record[end - 1 : end] != b"\\"


def _docker_value(record: bytes) -> dict[str, Any] | None:
    """Returns the object that Docker writes for a line; None if the record is none."""
    try:
        value = json_codec.parse_exactly(record)
    except json_codec.JsonError:
        return None
    is_docker = isinstance(value, dict) and isinstance(value.get("log"), str) and "stream" in value
    return value if is_docker else None


def _docker_piece(record: bytes) -> CarriedPiece | None:
    """Returns the piece in a record of Docker's json-file; the last piece ends with a line end."""
    value = _docker_value(record)
    if value is None:
        return None
    stream = (json_codec.scalar(value["stream"]), json_codec.compact(value.get("kubernetes")))
    return CarriedPiece(stream, as_bytes(value["log"]), value["log"].endswith("\n"))


def _docker_join(first: bytes, whole: bytes) -> bytes:
    """Returns the record that Docker would have written, had it not cut it."""
    value = {**(_docker_value(first) or {}), "log": whole.decode("utf-8", "surrogateescape")}
    return as_bytes(json_codec.compact(value))


def _loki_lines(value: Any) -> list[Content] | None:
    """Returns the lines of a query to Loki's API: streams with pairs of nanoseconds and line."""
    held = value.get("data") if isinstance(value, dict) else None
    streams = held.get("result") if isinstance(held, dict) else None
    if not isinstance(streams, list) or not all(isinstance(item, dict) and "values" in item for item in streams):
        return None
    pairs = [pair for item in streams if isinstance(item["values"], list) for pair in item["values"]]
    if not all(isinstance(pair, list) and len(pair) > 1 for pair in pairs):
        return None
    return [Content(text_of(pair[1]), json_codec.scalar(pair[0])) for pair in pairs] or None


def _insights_rows(value: Any) -> list[Content] | None:
    """Returns the messages of `aws logs get-query-results`: rows of fields with their values."""
    rows = value.get("results") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not rows:
        return None
    found = []
    for row in rows:
        fields = row if isinstance(row, list) else []
        cells = {cell.get("field"): cell.get("value") for cell in fields if isinstance(cell, dict)}
        if "@message" not in cells:
            return None
        found.append(Content(text_of(cells["@message"]), json_codec.scalar(cells.get("@timestamp"))))
    return found


#: Negative mark: a record with one of these keys is a request or a payload itself.
_REQUESTS: Final = (
    "!method|request|request_uri|request_method|uri|url|path|http|httpRequest|req|body|query|payload|headers"
    "|click_id|clickid|ref_id|conversion_type"
)

JSON_CARRIERS: Final = (
    Carrier(
        "docker",
        "Line of a container in Docker's json-file",
        "https://docs.docker.com/engine/logging/drivers/json-file/",
        ((rb'{"log":"{\"click_id\": \"a\"}\n","stream":"stdout","time":"2024-05-01T12:00:00.000000001Z"}', _PAYLOAD),),
        marks=(r"stream ~ std(?:out|err)$", "time", "log"),
        carried=("log",),
        times=("time",),
        pieces=Pieces(_is_whole_docker, _docker_piece, _docker_join),
    ),
    Carrier(
        "journal",
        "Entry of `journalctl -o json`",
        "https://www.freedesktop.org/software/systemd/man/latest/journalctl.html",
        (
            (b'{"__REALTIME_TIMESTAMP":"1714564800123456","_HOSTNAME":"web-1","MESSAGE":' + _TEXT + b"}", _PAYLOAD),
            (
                b'{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1714564800123456","MESSAGE":[97,61,195,169]}',
                (b"a=\xc3\xa9",),
            ),
        ),
        marks=("__REALTIME_TIMESTAMP|__CURSOR|_SOURCE_REALTIME_TIMESTAMP",),
        carried=("MESSAGE",),
        times=("__REALTIME_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP"),
        decode=_bytes_or_text,
    ),
    Carrier(
        "loki",
        "Line of a log store as Loki's `logcli --output=jsonl` and Grafana write it",
        "https://grafana.com/docs/loki/latest/query/logcli/",
        (
            (b'{"labels":{"job":"nginx"},"line":' + _TEXT + b',"timestamp":"2024-05-01T12:00:00.1Z"}', _PAYLOAD),
            (b'{"line":' + _TEXT + b',"timestamp":"1714564800123456789","fields":{"job":"nginx"}}', _PAYLOAD),
        ),
        marks=("line", "timestamp", "labels|fields|date"),
        carried=("line",),
        times=("timestamp", "date"),
    ),
    Carrier(
        "loki_api",
        "Answer of Loki's API to a query",
        "https://grafana.com/docs/loki/latest/reference/loki-http-api/",
        (
            (
                b'{"status":"success","data":{"resultType":"streams","result":[{"stream":{"job":"nginx"},"values":'
                b'[["1714564800123456789",' + _TEXT + b"]]}]}}",
                _PAYLOAD,
            ),
        ),
        unpack=_loki_lines,
    ),
    Carrier(
        "splunk",
        "Result of a search in Splunk as JSON",
        "https://docs.splunk.com/Documentation/Splunk/latest/Search/Exportsearchresults",
        (
            (
                b'{"preview":false,"result":{"_raw":' + _TEXT + b',"_time":"2024-05-01T12:00:00.000+0000"}}',
                _PAYLOAD,
            ),
            (b'{"_raw":' + _TEXT + b',"_time":"2024-05-01T12:00:00.000+0000"}', _PAYLOAD),
        ),
        marks=("result._raw|_raw",),
        carried=("result._raw", "_raw"),
        times=("result._time", "_time"),
        container=("results",),
    ),
    Carrier(
        "splunk_hec",
        "Event for Splunk's HTTP Event Collector",
        "https://docs.splunk.com/Documentation/Splunk/latest/Data/FormateventsforHTTPEventCollector",
        ((b'{"time":1714564800.123,"sourcetype":"nginx","event":{"click_id":"a"}}', (b'{"click_id":"a"}',)),),
        marks=("event", "sourcetype|host|index", "time", _REQUESTS),
        carried=("event",),
        times=("time",),
        is_clear=False,
    ),
    Carrier(
        "google_cloud",
        "Entry of Google Cloud Logging with a text or an object",
        "https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry",
        (
            (
                b'{"insertId":"1","logName":"projects/p/logs/stdout","textPayload":'
                + _TEXT
                + b',"timestamp":"2024-05-01T12:00:00Z"}',
                _PAYLOAD,
            ),
            (
                b'{"insertId":"1","logName":"projects/p/logs/x","jsonPayload":{"click_id":"a"},"timestamp":1714564800}',
                (b'{"click_id":"a"}',),
            ),
        ),
        marks=("textPayload|jsonPayload", "logName|insertId", "!httpRequest"),
        carried=("textPayload", "jsonPayload"),
        times=("timestamp", "receiveTimestamp"),
    ),
    Carrier(
        "elasticsearch",
        "Document of an Elasticsearch index, as a search or elasticdump writes it",
        "https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-search",
        ((b'{"_index":"logs","_id":"1","_score":1,"_source":{"click_id":"a"}}', (b'{"click_id":"a"}',)),),
        marks=("_source|fields.message|fields.event.original", "_index|_id"),
        carried=("_source", "fields.event.original", "fields.message"),
        times=("_source.@timestamp", "fields.@timestamp"),
        decode=_only_text,
        container=("hits", "hits"),
    ),
    Carrier(
        "datadog",
        "Log of Datadog's API",
        "https://docs.datadoghq.com/api/latest/logs/",
        (
            (
                b'{"id":"1","type":"log","attributes":{"message":' + _TEXT + b',"timestamp":"2024-05-01T12:00:00Z"}}',
                _PAYLOAD,
            ),
        ),
        marks=("attributes.message", "attributes.timestamp|attributes.status|type"),
        carried=("attributes.message",),
        times=("attributes.timestamp",),
        container=("data",),
    ),
    Carrier(
        "cloudwatch_events",
        "Event of CloudWatch Logs, as `aws logs filter-log-events` and `get-log-events` write it",
        "https://docs.aws.amazon.com/cli/latest/reference/logs/filter-log-events.html",
        (
            (
                b'{"logStreamName":"s","timestamp":1714564800123,"message":'
                + _TEXT
                + b',"ingestionTime":1714564801000,"eventId":"1"}',
                _PAYLOAD,
            ),
        ),
        marks=("message", "timestamp", "ingestionTime|eventId"),
        carried=("message",),
        times=("timestamp",),
        container=("events",),
    ),
    Carrier(
        "cloudwatch_insights",
        "Row of CloudWatch Logs Insights as JSON",
        "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AnalyzingLogData.html",
        ((b'{"@timestamp":"2024-05-01 12:00:00.123","@message":' + _TEXT + b',"@ptr":"x"}', _PAYLOAD),),
        marks=("@message",),
        carried=("@message",),
        times=("@timestamp",),
    ),
    Carrier(
        "sqs_message",
        "Message of an SQS queue, one a line",
        "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Message.html",
        (
            (
                b'{"MessageId":"1","ReceiptHandle":"r","Body":'
                + _TEXT
                + b',"Attributes":{"SentTimestamp":"1714564800000"}}',
                _PAYLOAD,
            ),
            (b'{"messageId":"1","receiptHandle":"r","body":' + _TEXT + b"}", _PAYLOAD),
        ),
        marks=("Body|body", "ReceiptHandle|receiptHandle|MD5OfBody|md5OfBody"),
        carried=("Body", "body"),
        times=("Attributes.SentTimestamp", "attributes.SentTimestamp"),
    ),
    Carrier(
        "cloudwatch_results",
        "Output of `aws logs get-query-results`",
        "https://docs.aws.amazon.com/cli/latest/reference/logs/get-query-results.html",
        (
            (
                b'{"results":[[{"field":"@timestamp","value":"2024-05-01 12:00:00.123"},{"field":"@message","value":'
                + _TEXT
                + b'}]],"status":"Complete"}',
                _PAYLOAD,
            ),
        ),
        unpack=_insights_rows,
    ),
    Carrier(
        "message",
        "Line as text in a JSON record, as Filebeat, Fluent Bit, Vector and other log shippers write it",
        "https://www.elastic.co/docs/reference/ecs/ecs-base",
        (
            (b'{"@timestamp":"2024-05-01T12:00:00.123Z","message":' + _TEXT + b"}", _PAYLOAD),
            (b'{"date":1714564800.5,"log":' + _TEXT + b"}", _PAYLOAD),
            (b'{"event":{"original":' + _TEXT + b"}}", _PAYLOAD),
        ),
        marks=("event.original|message|log|MESSAGE|msg", _REQUESTS),
        carried=("event.original", "message", "log", "MESSAGE", "msg"),
        times=("@timestamp", "timestamp", "time", "date", "ts", "created_at"),
        is_clear=False,
    ),
)
