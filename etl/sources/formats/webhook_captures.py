"""Defines and parses webhook captures: exports of request bins, webhook gateways, tunnels and browsers."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final
from urllib.parse import urlencode

from etl.columnar import json_codec
from etl.sources.format import Format
from etl.sources.readers.json_matching import value_at
from etl.sources.readers.request_fields import ParseOptions, record_of
from etl.sources.record import Record

_OPTIONS: Final = ParseOptions(is_pathless=True)


def read_webhook_site(capture: dict[str, Any]) -> Record:
    """Parses a request of webhook.site, whose URL contains the raw query. E-mails and DNS queries are not requests."""
    if json_codec.scalar(capture.get("type")) in ("email", "dns"):
        return Record("not_a_request")
    record = record_of(
        {
            "time": capture.get("created_at"),
            "method": capture.get("method"),
            "url": capture.get("url"),
            "query": capture.get("query"),
            "body": capture.get("content") or capture.get("request"),
            "client": capture.get("ip"),
            "agent": capture.get("user_agent") or value_at(capture, "headers.user-agent"),
        },
        _OPTIONS,
    )
    own = f"/{json_codec.scalar(capture.get('token_id'))}"
    return record._replace(path=None) if record.path in (own, f"{own}/") else record


def read_ngrok(capture: dict[str, Any]) -> Record:
    """Parses a request of ngrok's inspector. If the capture contains the raw request, it takes precedence over keys."""
    request = capture["request"] if isinstance(capture.get("request"), dict) else {}
    line, body = _raw_request(json_codec.scalar(request.get("raw")) or "")
    return record_of(
        {
            "time": capture.get("start"),
            "method": request.get("method"),
            "target": None if line else request.get("uri"),
            "request": line,
            "body": body,
            "status": value_at(capture, "response.status_code"),
            "client": capture.get("remote_addr"),
            "agent": value_at(request, "headers.User-Agent"),
        }
    )


def _raw_request(raw: str) -> tuple[str | None, str | None]:
    """Returns the request line and the body of a base64 request; (None, None) if it is not valid base64."""
    try:
        head, _, body = base64.b64decode(raw, validate=True).partition(b"\r\n\r\n")
    except (binascii.Error, ValueError):
        return None, None
    line = head.partition(b"\r\n")[0].decode("utf-8", "surrogateescape")
    return line or None, body.decode("utf-8", "surrogateescape")


def read_har(entry: dict[str, Any]) -> Record:
    """Parses an entry of an HTTP archive. Form parameters count only if the entry has no body text."""
    request = entry["request"] if isinstance(entry.get("request"), dict) else {}
    posted = request["postData"] if isinstance(request.get("postData"), dict) else {}
    headers = {str(name).lower(): value for name, value in _named(request.get("headers"))}
    return record_of(
        {
            "time": entry.get("startedDateTime"),
            "method": request.get("method"),
            "url": request.get("url"),
            "body": posted.get("text") or urlencode(_named(posted.get("params"))),
            "is_base64": posted.get("encoding") == "base64" and bool(posted.get("text")),
            "status": value_at(entry, "response.status"),
            "agent": headers.get("user-agent"),
        }
    )


def _named(values: Any) -> list[tuple[str, str]]:
    """Returns (name, value) pairs from a list of objects with `name` and `value`."""
    objects = [item for item in values if isinstance(item, dict)] if isinstance(values, list) else []
    return [(json_codec.scalar(item.get("name")) or "", json_codec.scalar(item.get("value")) or "") for item in objects]


FORMATS: Final[tuple[Format, ...]] = (
    Format(
        "webhook_site",
        "json",
        "webhook.site: requests of a token, as its API returns them",
        "https://docs.webhook.site/api/about.html",
        (
            (
                b'{"uuid":"u1","type":"web","token_id":"t1","ip":"192.0.2.7","hostname":"webhook.site","method":"POST","user_agent":'
                b'"Acme/1","content":"{\\"click_id\\":\\"a\\"}","query":{"b":"2"},"headers":{},"url":'
                b'"https://webhook.site/acme/collect/shop?b=1&b=2","created_at":"2024-05-01 12:00:00"}'
            ),
            b'{"uuid":"u2","type":"email","token_id":"t1","content":"hi","created_at":"2024-05-01 12:00:00"}',
        ),
        marks=("token_id", "uuid", "created_at", "content|url|method"),
        container=("data",),
        moment="start",
        is_body_logged=True,
        read=read_webhook_site,
    ),
    Format(
        "pipedream",
        "json",
        "Pipedream: events of an HTTP trigger, alone or in an exported step",
        "https://pipedream.com/docs/workflows/building-workflows/triggers/",
        (
            (
                b'{"method":"POST","path":"/acme/collect/shop","query":{},"client_ip":"192.0.2.7","url":'
                b'"https://x.m.pipedream.net/acme/collect/shop","headers":{"user-agent":"Acme/1"},"bodyRaw":"{\\"value\\":1.00}",'
                b'"body":{"value":1}}'
            ),
            (
                b'{"steps":{"trigger":{"event":{"method":"GET","url":"https://x.m.pipedream.net/acme/collect/shop?click_id=a"},'
                b'"context":{"ts":"2024-05-01T12:00:00.000Z"}}}}'
            ),
        ),
        keys={
            role: tuple(f"{outer}{path}" for path in paths for outer in ("", "trigger.event.", "steps.trigger.event."))
            for role, paths in {
                "method": ("method",),
                "url": ("url",),
                "path": ("path",),
                "query": ("query",),
                "body": ("bodyRaw", "body"),
                "client": ("client_ip",),
                "agent": ("headers.user-agent", "headers.User-Agent"),
            }.items()
        }
        | {"time": ("trigger.context.ts", "steps.trigger.context.ts")},
        marks=(
            "bodyRaw|trigger.event.url|trigger.event.bodyRaw|steps.trigger.event",
            "method|trigger.event.method|steps.trigger.event.method",
        ),
        moment="none",
        is_body_logged=True,
    ),
    Format(
        "requestbin",
        "json",
        "The original RequestBin and its forks",
        "https://github.com/Runscope/requestbin",
        (
            (
                b'{"id":"r1","time":1714564800.5,"method":"POST","path":"/acme/collect/shop","query_string":{"click_id":["a"]},'
                b'"form_data":{},"headers":{"User-Agent":"Acme/1"},"body":"value=1","remote_addr":"192.0.2.7"}'
            ),
        ),
        keys={
            "time": ("time",),
            "method": ("method",),
            "path": ("path",),
            "query": ("query_string",),
            "body": ("body",),
            "client": ("remote_addr",),
            "agent": ("headers.User-Agent",),
        },
        marks=("query_string", "form_data|content_type", "remote_addr", "method"),
        moment="start",
        is_body_logged=True,
    ),
    Format(
        "hookdeck",
        "json",
        "Hookdeck: requests or events, as its API returns them",
        "https://hookdeck.com/docs/api",
        (
            (
                b'{"id":"req_1","source_id":"src_1","created_at":"2024-05-01T12:00:01.000Z","ingested_at":'
                b'"2024-05-01T12:00:00.000Z","data":{"headers":{"user-agent":"Acme/1"},"body":{"click_id":"a"},"path":'
                b'"/acme/collect/shop","parsed_query":{"b":"1"}}}'
            ),
        ),
        keys={
            "time": ("ingested_at", "created_at"),
            "method": ("data.method", "data.http_method"),
            "path": ("data.path",),
            "query": ("data.query", "data.parsed_query"),
            "body": ("data.body",),
            "agent": ("data.headers.user-agent", "data.headers.User-Agent"),
        },
        marks=("source_id|webhook_id|event_data_id", "data.headers|data.parsed_query", "created_at|ingested_at"),
        container=("models",),
        moment="start",
        is_body_logged=True,
    ),
    Format(
        "svix",
        "json",
        "Svix: messages of an application, as its API returns them",
        "https://api.svix.com/docs",
        (
            (
                b'{"id":"msg_1","eventType":"order.paid","payload":{"click_id":"a"},"timestamp":"2024-05-01T12:00:00Z",'
                b'"channels":null,"tags":null}'
            ),
        ),
        keys={"time": ("timestamp",), "body": ("payload",)},
        marks=("eventType", "payload", "timestamp", "id ~ msg_"),
        container=("data",),
        moment="start",
        is_body_logged=True,
    ),
    Format(
        "ngrok",
        "json",
        "ngrok: requests of the agent's inspector",
        "https://ngrok.com/docs/agent/api/#list-captured-requests",
        (
            (
                b'{"id":"1","tunnel_name":"t","remote_addr":"192.0.2.7","start":"2024-05-01T14:00:00+02:00","duration":3893202,'
                b'"request":{"method":"POST","proto":"HTTP/1.1","headers":{"User-Agent":["Acme/1"]},"uri":"/acme/collect/shop",'
                b'"raw":"UE9TVCAvYWNtZS9jb2xsZWN0L3Nob3AgSFRUUC8xLjENCkhvc3Q6IGENCg0KY2xpY2tfaWQ9YQ=="},"response":null}'
            ),
        ),
        marks=("tunnel_name", "request.uri", "start"),
        container=("requests",),
        moment="start",
        is_body_logged=True,
        read=read_ngrok,
    ),
    Format(
        "har",
        "json",
        "HTTP archive (HAR), as browsers and proxies save it",
        "http://www.softwareishard.com/blog/har-12-spec/",
        (
            (
                b'{"startedDateTime":"2024-05-01T14:00:00.000+02:00","request":{"method":"POST","url":'
                b'"https://example.com/acme/collect/shop?b=1","headers":[{"name":"User-Agent","value":"Acme/1"}],"postData":'
                b'{"mimeType":"application/x-www-form-urlencoded","params":[{"name":"click_id","value":"a b"}]}},'
                b'"response":{"status":200}}'
            ),
        ),
        marks=("startedDateTime", "request.method", "request.url"),
        container=("log", "entries"),
        moment="start",
        is_body_logged=True,
        read=read_har,
    ),
    Format(
        "segment_capture",
        "json",
        "Requests as JSON objects, in the style of RudderStack and Segment",
        "https://www.rudderstack.com/docs/sources/event-streams/cloud-apps/webhook-source/",
        (
            b'{"request":{"method":"POST","query":{"click_id":["a"]},"headers":{"User-Agent":"Acme/1"},"body":"{\\"b\\":1}"}}',
        ),
        keys={
            "time": ("received_at", "receivedAt", "timestamp"),
            "method": ("request.method",),
            "url": ("request.url",),
            "path": ("request.path",),
            "query": ("request.query_string", "request.query"),
            "body": ("request.body",),
            "agent": ("request.headers.User-Agent", "request.headers.user-agent"),
        },
        marks=(
            r"request.method ~ [A-Za-z]{3,7}$",
            "request.body|request.query|request.query_string",
            "!startedDateTime|tunnel_name|request.uri|ts",
        ),
        moment="start",
        is_body_logged=True,
    ),
)
