"""Defines JSON request logs of frameworks, gateways and platforms: each format's marks and keys."""

from __future__ import annotations

from typing import Any, Final

from etl.columnar import json_codec
from etl.sources.format import Format
from etl.sources.readers.json_matching import value_at
from etl.sources.readers.request_fields import ParseOptions, record_of
from etl.sources.record import Record


def _read_waf(event: dict[str, Any]) -> Record:
    """Turns an event of AWS WAF into a record; its headers are a list of names and values."""
    headers = value_at(event, "httpRequest.headers")
    named = {
        str(header.get("name")).lower(): header.get("value")
        for header in (headers if isinstance(headers, list) else ())
        if isinstance(header, dict)
    }
    roles = {
        "time": event.get("timestamp"),
        "method": value_at(event, "httpRequest.httpMethod"),
        "path": value_at(event, "httpRequest.uri"),
        "query": value_at(event, "httpRequest.args") or None,
        "client": value_at(event, "httpRequest.clientIp"),
        "status": event.get("responseCodeSent"),
        "agent": named.get("user-agent"),
    }
    return record_of({role: value for role, value in roles.items() if value is not None})


def _read_app_service(event: dict[str, Any]) -> Record:
    """Turns a log record of Azure App Service into a record; its properties may be JSON as text."""
    said = event.get("properties")
    try:
        properties = json_codec.parse(said.encode("utf-8", "surrogateescape")) if isinstance(said, str) else said
    except json_codec.JsonError:
        properties = None
    if not isinstance(properties, dict):
        return Record("malformed_record", "The properties are not a JSON object")
    agent = json_codec.scalar(properties.get("UserAgent")) or ""
    roles = {
        "time": event.get("time", event.get("EventTime")),
        "method": properties.get("CsMethod"),
        "path": properties.get("CsUriStem"),
        "query": properties.get("CsUriQuery") or None,
        "client": properties.get("CIp"),
        "status": properties.get("ScStatus"),
        "agent": agent.replace("+", " ") or None,
    }
    return record_of({role: value for role, value in roles.items() if value is not None}, ParseOptions())


PLATFORMS: Final[tuple[Format, ...]] = (
    Format(
        "ecs",
        "json",
        "Requests in the Elastic Common Schema",
        "https://www.elastic.co/guide/en/ecs/current/ecs-http.html",
        (
            (
                b'{"@timestamp":"2024-05-01T12:00:00.123Z","source":{"ip":"192.0.2.7"},"http":{"request":{"method":"GET"},'
                b""
                b'"response":{"status_code":200}},"url":{"original":"/acme/collect/shop?click_id=a",'
                b'"path":"/acme/collect/shop",'
                b'"query":"click_id=a"},"user_agent":{"original":"Acme/1"}}'
            ),
            (
                b'{"@timestamp":"2024-05-01T12:00:00Z","client.ip":"192.0.2.7","http.request.method":"POST","url.path":'
                b'"/acme/collect/shop","http.request.body.content":"{\\"click_id\\":\\"a\\"}"}'
            ),
        ),
        keys={
            "time": ("@timestamp", "event.start", "event.created"),
            "method": ("http.request.method",),
            "target": ("url.original", "url.full"),
            "path": ("url.path",),
            "query": ("url.query",),
            "status": ("http.response.status_code",),
            "client": ("source.ip", "client.ip", "source.address", "client.address"),
            "agent": ("user_agent.original",),
            "body": ("http.request.body.content",),
        },
        marks=("url.original|url.full|url.path", "http.request.method|http.response.status_code|source.ip|client.ip"),
    ),
    Format(
        "pino",
        "json",
        "Requests that pino-http, Fastify or Bunyan log",
        "https://github.com/pinojs/pino-http",
        (
            (
                b'{"level":30,"time":1714564800123,"pid":7,"hostname":"web-1","req":{"method":"GET","url":'
                b'"/acme/collect/shop?click_id=a","remoteAddress":"192.0.2.7"},"msg":"incoming request"}'
            ),
            (
                b'{"level":30,"time":1714564800123,"pid":7,"hostname":"web-1","req":{"id":1,"method":"POST","url":'
                b'"/acme/collect/shop","headers":{"user-agent":"Acme/1"},"body":{"click_id":"a"},"remoteAddress":'
                b'"::ffff:192.0.2.7"},"res":{"statusCode":200},"responseTime":4,"msg":"request completed"}'
            ),
        ),
        keys={
            "time": ("time", "timestamp"),
            "method": ("req.method",),
            "target": ("req.url", "req.originalUrl"),
            "status": ("res.statusCode", "res.status"),
            "client": ("req.remoteAddress", "req.ip"),
            "agent": ("req.headers.user-agent", "req.headers.User-Agent"),
            "body": ("req.body", "req.raw.body"),
        },
        marks=("req.url|req.originalUrl", "req.method"),
    ),
    Format(
        "pino_event",
        "json",
        "Responses and other events that pino or Bunyan log beside requests; they contain no requests",
        "https://github.com/pinojs/pino/blob/main/docs/api.md",
        (
            (
                b'{"level":30,"time":1714564800127,"pid":7,"hostname":"web-1","reqId":"req-1","res":{"statusCode":200},'
                b'"responseTime":4.1,"msg":"request completed"}'
            ),
            (
                b'{"level":30,"time":1714564800127,"pid":7,"hostname":"web-1","email":"jane@example.com","msg":"signed '
                b'up"}'
            ),
        ),
        keys={},
        marks=(r"level ~ \d0$", "time", "pid", "hostname", "!req"),
        moment="none",
    ),
    Format(
        "logbook",
        "json",
        "Requests that Zalando's Logbook logs with their bodies",
        "https://github.com/zalando/logbook#json",
        (
            (
                b'{"origin":"remote","type":"request","correlation":"2d66","protocol":"HTTP/1.1","remote":"192.0.2.7",'
                b'"method":'
                b'"POST","uri":"https://t.example.com/acme/collect/shop","path":"/acme/collect/shop","headers":{'
                b'"User-Agent":'
                b'["Acme/1"]},"time":"2024-05-01T12:00:00Z","body":{"click_id":"a"}}'
            ),
        ),
        keys={
            "time": ("@timestamp", "timestamp", "time"),
            "method": ("method",),
            "target": ("uri",),
            "path": ("path",),
            "client": ("remote",),
            "agent": ("headers.User-Agent", "headers.user-agent"),
            "body": ("body",),
        },
        marks=("type ~ request$", "correlation", "origin"),
        moment="start",
        is_body_logged=True,
    ),
    Format(
        "logbook_response",
        "json",
        "Responses that Zalando's Logbook logs beside requests; they contain no requests",
        "https://github.com/zalando/logbook#json",
        (
            (
                b'{"origin":"local","type":"response","correlation":"2d66","duration":25,"status":200,"headers":{},'
                b'"body":"OK"}'
            ),
        ),
        keys={},
        marks=("type ~ response$", "correlation", "origin"),
        moment="none",
    ),
    Format(
        "vercel",
        "json",
        "Vercel log drain: records of the proxy",
        "https://vercel.com/docs/drains/reference/logs",
        (
            (
                b'{"id":"1","source":"lambda","timestamp":1714564800123,"projectId":"p","proxy":{'
                b'"timestamp":1714564800120,"method":'
                b'"GET","host":"t.example.com","path":"/acme/collect/shop?click_id=a","userAgent":["Acme/1"],'
                b'"statusCode":200,'
                b'"clientIp":"192.0.2.7"}}'
            ),
        ),
        keys={
            "time": ("proxy.timestamp", "timestamp"),
            "method": ("proxy.method",),
            "target": ("proxy.path", "path"),
            "status": ("proxy.statusCode", "statusCode"),
            "client": ("proxy.clientIp",),
            "agent": ("proxy.userAgent",),
        },
        marks=("proxy.path", "proxy.method"),
        moment="start",
    ),
    Format(
        "kong",
        "json",
        "Kong's log plugins, and those of Apache APISIX",
        "https://docs.konghq.com/hub/kong-inc/file-log/",
        (
            (
                b'{"client_ip":"192.0.2.7","started_at":1714564800123,"request":{"method":"GET","uri":'
                b'"/acme/collect/shop?click_id=a","url":"https://t.example.com:443/acme/collect/shop?click_id=a",'
                b'"querystring":{"click_id":"a"},"headers":'
                b'{"user-agent":"Acme/1"}},"response":{"status":200,"headers":{}},"latencies":{"request":5}}'
            ),
            (
                b'{"client_ip":"192.0.2.7","start_time":1714564800123,"route_id":"1","request":{"method":"POST","uri":'
                b'"/acme/collect/shop","headers":{"user-agent":"Acme/1"},"body":"click_id=a"},"response":{"status":200},'
                b'"latency":5}'
            ),
        ),
        keys={
            "time": ("started_at", "start_time"),
            "method": ("request.method",),
            "target": ("request.uri", "request.url"),
            "status": ("response.status",),
            "client": ("client_ip",),
            "agent": ("request.headers.user-agent", "request.headers.User-Agent"),
            "body": ("request.body",),
        },
        marks=("request.uri", "started_at|start_time", "response.status|latencies|latency"),
        moment="start",
    ),
    Format(
        "api_gateway_json",
        "json",
        "Amazon API Gateway access log in JSON; it logs no queries",
        "https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html",
        (
            (
                b'{"requestId":"r","ip":"192.0.2.7","requestTime":"01/May/2024:12:00:00 +0000","httpMethod":"GET",'
                b'"resourcePath":'
                b'"/{account}/collect/{slug}","path":"/acme/collect/shop","status":"200","protocol":"HTTP/1.1"}'
            ),
        ),
        keys={
            "time": ("requestTimeEpoch", "requestTime"),
            "method": ("httpMethod",),
            "path": ("path", "rawPath", "resourcePath"),
            "query": ("queryString", "query", "querystring", "rawQueryString", "query_string"),
            "status": ("status",),
            "client": ("ip", "sourceIp"),
            "agent": ("userAgent",),
        },
        marks=(
            "requestTime|requestTimeEpoch",
            "httpMethod",
            "path|resourcePath|routeKey",
            "!requestContext|headers|body",
        ),
        time="clf",
        moment="start",
    ),
    Format(
        "aws_waf",
        "json",
        "AWS WAF log",
        "https://docs.aws.amazon.com/waf/latest/developerguide/logging-fields.html",
        (
            (
                b'{"timestamp":1714564800123,"formatVersion":1,"webaclId":"arn:aws:wafv2:x","action":"ALLOW",'
                b'"httpRequest":'
                b'{"clientIp":"192.0.2.7","headers":[{"name":"User-Agent","value":"Acme/1"}],"uri":"/acme/collect/shop",'
                b'"args":"click_id=a",'
                b'"httpMethod":"GET"}}'
            ),
        ),
        marks=("webaclId", "httpRequest.uri"),
        moment="start",
        read=_read_waf,
    ),
    Format(
        "azure_app_service",
        "json",
        "Azure App Service HTTP log",
        "https://learn.microsoft.com/azure/app-service/troubleshoot-diagnostic-logs",
        (
            (
                b'{"time":"2024-05-01T12:00:00Z","category":"AppServiceHTTPLogs","properties":"{\\"CIp\\": '
                b'\\"192.0.2.7\\", \\"CsUriStem\\": \\"/acme/collect/shop\\", \\"CsUriQuery\\": \\"click_id=a\\", '
                b'\\"CsMethod\\": '
                b'\\"GET\\", \\"ScStatus\\": \\"200\\"}"}'
            ),
        ),
        marks=("category ~ AppServiceHTTPLogs$", "properties"),
        container=("records",),
        read=_read_app_service,
    ),
)
