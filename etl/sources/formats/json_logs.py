"""Defines home-made JSON access logs with common key names, and table exports in JSON."""

from __future__ import annotations

from typing import Final

from etl.sources.format import Format
from etl.sources.formats.json_clouds import CLOUDS
from etl.sources.formats.json_platforms import PLATFORMS
from etl.sources.formats.json_servers import SERVERS
from etl.sources.formats.json_telemetry import TELEMETRY
from etl.sources.readers.column_guessing import GUESSES, ROLES

_METHOD_KEYS: Final = ("request_method", "method", "verb", "http_method", "request_type")
_STATUS_KEYS: Final = ("status", "response_status", "response", "status_code", "code", "http_status")
_CLIENT_KEYS: Final = (
    *("cf_connecting_ip", "http_cf_connecting_ip", "remote_addr", "remote_ip", "client_ip", "clientip"),
    *("client", "ip", "remote_address", "http_x_forwarded_for", "remoteIP", "remoteIp", "remoteAddress", "clientIp"),
    *("clientIP", "remote", "source_ip", "src_ip", "src", "real_ip", "peer", "x_forwarded_for"),
)
_TIME_KEYS: Final = (
    *("msec", "time_iso8601", "timestamp", "@timestamp", "time", "time_local", "datetime", "date", "ts", "dt", "at"),
    *("date_time", "start_time", "startTime", "accept_date"),
)
_HOME_MADE: Final[dict[str, tuple[str, ...]]] = {
    "time": _TIME_KEYS,
    "method": _METHOD_KEYS,
    "status": _STATUS_KEYS,
    "client": _CLIENT_KEYS,
    "agent": ("http_user_agent", "user_agent", "useragent", "agent", "ua"),
    "query": ("args", "query_string", "query", "request_args"),
    "body": ("request_body", "req_body"),
}
_NGINX: Final = "https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format"

#: A request log has one of these keys, too. Without this mark, a payload that contains a URI would pass for a log.
_EVIDENCE: Final = "|".join((*_METHOD_KEYS, *_STATUS_KEYS, *_CLIENT_KEYS, *_TIME_KEYS))

#: Negative marks: keys of other formats that share key names with home-made logs.
_OTHERS: Final = ("!request.uri|request.url|request.method", "!RequestPath|ClientRequestURI|cs-uri-stem|reqPath")

_STRONG: Final = r"/|https?://|[A-Za-z_-]{1,32} (?:/|https?://|.+ HTTP/\d)"
_NGINX_KEYS: Final = {
    **_HOME_MADE,
    "target": ("request_uri",),
    "request": ("request",),
    "path": ("uri", "document_uri"),
}

HOME_MADE: Final[tuple[Format, ...]] = (
    Format(
        "nginx_json",
        "json",
        "Home-made nginx access log in JSON, with the request line or the raw URI under any common key",
        _NGINX,
        (
            (
                b'{"time":"2024-05-01T14:00:00+02:00","remote_addr":"192.0.2.7","request":"GET /a/collect/b?click_id=a'
                b' HTTP/1.1","status":"200","http_user_agent":"Acme/1"}'
            ),
            (
                b'{"msec":"1714564800.125","ip":"192.0.2.7","request_method":"GET","uri":"/acme/collect/shop",'
                b'"args":"click_id=a","response_status":200}'
            ),
            rb'{"time_local":"01/May/2024:12:00:00 +0000","request_uri":"/acme/collect/shop?click_id=\x22a\xE9"}',
        ),
        keys=_NGINX_KEYS,
        marks=(f"request_uri|uri|request ~ {_STRONG}", _EVIDENCE, "!response_code|body", *_OTHERS),
        is_zoned=False,
    ),
    Format(
        "nginx_json_garbage",
        "json",
        "Home-made nginx access log in JSON, for connections that sent no HTTP request",
        _NGINX,
        (b'{"time_local":"01/May/2024:12:00:00 +0000","client":"192.0.2.7","request":"","status":400}',),
        keys=_NGINX_KEYS,
        marks=(
            "request_uri|uri|request",
            "|".join(_STATUS_KEYS) + r" ~ (?:\d{1,3}|-)?$",
            "|".join(_CLIENT_KEYS),
            "|".join(_TIME_KEYS),
            f"!request_uri|uri|request ~ {_STRONG}",
            "!response_code|body|request.method|request.headers",
            *_OTHERS,
        ),
        is_zoned=False,
    ),
    Format(
        "json_access_log",
        "json",
        "Access log in JSON with path, method, status, address and time under any common keys",
        _NGINX,
        (
            (
                b'{"time":"2024-05-01T12:00:00Z","ip":"192.0.2.7","method":"GET","path":"/acme/collect/shop?click_id=a",'
                b'"status":200}'
            ),
        ),
        keys={**_HOME_MADE, "target": ("original_url", "originalUrl", "url"), "path": ("path", "pathname")},
        marks=(
            "path|pathname|url|original_url|originalUrl ~ /|https?://",
            "|".join(_METHOD_KEYS) + r" ~ [A-Z]{3,7}$",
            "|".join(_STATUS_KEYS) + r" ~ \d{3}$",
            "|".join((*(name for name in _CLIENT_KEYS if name != "remote"), "level", "latency", "duration", "elapsed")),
            "|".join(_TIME_KEYS),
            "!request|request_uri|uri|body|headers|received_at|bodyRaw|token_id|response_code",
            "!response_status|request_protocol|fastly_server|fastly_is_edge",
            *_OTHERS,
        ),
        is_zoned=False,
    ),
)

#: Under each of these keys, an object describes the request.
_WITHIN: Final = ("http", "request", "req", "meta.req", "context.request", "http_request")


def _within(*names: str) -> tuple[str, ...]:
    """Returns the key paths of names within an object that describes the request."""
    return tuple(f"{outer}.{name}" for name in names for outer in _WITHIN)


_NESTED_TARGETS: Final = _within(
    "originalUrl", "original_url", "request_uri", "url", "uri", "target", "path", "fullUrl"
)
_NESTED_METHODS: Final = _within("method", "request_method", "verb")
_HEADERS: Final = _within("headers.user-agent", "headers.User-Agent", "user_agent", "userAgent", "useragent")

#: Home-made logs with objects within. They stand behind the captures of webhooks, whose requests are objects, too.
NESTED: Final = Format(
    "json_nested_log",
    "json",
    "Access log in JSON in which an object such as http, request or req describes the request, under any common keys",
    _NGINX,
    (
        (
            b'{"time":"2024-05-01T12:00:00Z","level":"INFO","msg":"request","http":{"method":"GET","url":'
            b'"https://t.example.com/acme/collect/shop?click_id=a","status":200},"remote_addr":"192.0.2.7:53211"}'
        ),
    ),
    keys={
        "time": _TIME_KEYS,
        "method": _NESTED_METHODS,
        "target": _NESTED_TARGETS,
        "query": _within("query", "query_string", "args", "querystring"),
        "status": (
            *_within("status", "status_code", "statusCode", "response.status"),
            *("response.status", "response.status_code", "response.statusCode", "res.statusCode", "res.status"),
            *("meta.res.statusCode", *_STATUS_KEYS),
        ),
        "client": (
            *("client.ip", "client.address", "network.client.ip", "source.ip"),
            *_within("ip", "remote_addr", "remote_ip", "client_ip", "clientIp", "remoteAddress", "remoteIp"),
            *_CLIENT_KEYS,
        ),
        "agent": (*_HEADERS, *_HOME_MADE["agent"]),
        "body": _within("body", "request_body", "payload"),
    },
    marks=(
        "|".join(_NESTED_TARGETS) + " ~ /|https?://",
        "|".join(_NESTED_METHODS) + r" ~ [A-Za-z]{3,7}$",
        "|".join(name for name in _TIME_KEYS if name != "ts"),  # with which Caddy writes its records
        "!click_id|clickid|click|ref_id|refid|ref|email|value|amount|conversion_type|event_name|body|query|queryString",
        "!token_id|uuid|webhook|requestContext|httpRequest|pid|hostname|latencies|origin|logger",
        "!url.original|url.path|url.full|client_ip|route_id|request.raw|request.bodySize|request.httpVersion",
    ),
    is_zoned=False,
)

_BIGQUERY: Final = "https://cloud.google.com/bigquery/docs/exporting-data"
_EXPORT_KEYS: Final = {ROLES[role]: names for role, names in GUESSES.items() if role not in ("request", "query")}
_PAYLOAD_KEYS: Final = tuple(name for name in GUESSES["payload"] if name not in ("body", "value", "params", "message"))
_OBJECT: Final = r"\s*\{\s*\".*\}\s*$"

#: Negative mark: a record with one of these keys is itself a payload.
_PARAMETERS: Final = "!click_id|clickid|click|ref_id|refid|ref|email|value|amount|conversion_type|event_name"

EXPORTS: Final[tuple[Format, ...]] = (
    Format(
        "json_table",
        "json",
        "Table rows as JSON with a column of payload texts, as BigQuery exports them",
        _BIGQUERY,
        (b'{"id":"1","created_at":"2024-05-01 12:00:00 UTC","payload":"{\\"click_id\\": \\"a\\"}"}',),
        keys={**_EXPORT_KEYS, "body": _PAYLOAD_KEYS},
        marks=(
            f"{'|'.join(_PAYLOAD_KEYS)} ~ {_OBJECT}",
            "!body|bodyRaw|token_id|topic|eventType|query|log",
            _PARAMETERS,
        ),
        moment="start",
        is_zoned=False,
        is_body_logged=True,
    ),
    Format(
        "json_table_body",
        "json",
        "Like json_table, where the column of payload texts is named body",
        _BIGQUERY,
        (b'{"id":"1","created_at":"2024-05-01 12:00:00 UTC","body":"{\\"click_id\\": \\"a\\"}"}',),
        keys={**_EXPORT_KEYS, "body": ("body",)},
        marks=(
            f"body ~ {_OBJECT}",
            "created_at|created|inserted_at|logged_at|timestamp|time|date|id",
            "!method|path|url|headers|received_at|httpMethod|requestContext|receiptHandle|messageId",
            _PARAMETERS,
        ),
        moment="start",
        is_zoned=False,
        is_body_logged=True,
    ),
)

FORMATS: Final[tuple[Format, ...]] = (*SERVERS, *CLOUDS, *PLATFORMS, *TELEMETRY, *HOME_MADE, *EXPORTS)
