"""Defines JSON access logs of web servers and proxies: each format's marks and keys."""

from __future__ import annotations

from typing import Final

from etl.sources.format import Format

_EVENT_LEVEL: Final = r"(?i)(?:trace|debug|info|notice|warn|warning|error|dpanic|fatal|panic)$"
_CADDY_ACCESS: Final = r"logger ~ http\.log\.access"
_AGENT_HEADERS: Final = ("request.headers.User-Agent", "request.headers.user-agent")

_HAPROXY_REQUESTS: Final = (
    "http_request|request|request_line|r|HU|hu|HP|hp|http_uri|http_request_uri|request_uri|uri|url|http_path|path"
    "|http.request_uri|http.uri|http.path"
)

SERVERS: Final[tuple[Format, ...]] = (
    Format(
        "caddy",
        "json",
        "Caddy 2 access log",
        "https://caddyserver.com/docs/caddyfile/directives/log",
        (
            (
                b'{"level":"info","ts":1714564800.75,"logger":"http.log.access","msg":"handled request","request":{'
                b'"client_ip":"192.0.2.7","proto":"HTTP/2.0","method":"GET","host":"example.com","uri":'
                b'"/acme/collect/shop?click_id=a","headers":{"User-Agent":["Acme/1"]}},"duration":0.25,"size":2,"status":200}'
            ),
            (
                b'{"ts":1714564800,"request":{"remote_addr":"192.0.2.7:443","method":"GET","uri":"/acme/collect/shop"},'
                b'"duration":0.25,"status":0}'
            ),
        ),
        keys={
            "time": ("ts",),
            "duration": ("duration",),
            "method": ("request.method",),
            "target": ("request.uri",),
            "status": ("status",),
            "client": ("request.client_ip", "request.remote_ip", "request.remote_addr"),
            "agent": _AGENT_HEADERS,
        },
        marks=("request.uri", "ts", "!request.raw", r"!logger ~ (?!http\.log\.access)"),
        moment="start",
    ),
    Format(
        "parsed_access_log",
        "json",
        "Line of an access log as the parsers of Fluentd and Fluent Bit take it apart",
        "https://docs.fluentd.org/parser/nginx",
        (
            (
                b'{"date":1714564800.5,"remote":"192.0.2.7","host":"-","user":"-","method":"GET","path":'
                b'"/acme/collect/shop?click_id=a","code":"200","size":"2","referer":"-","agent":"Acme/1"}'
            ),
        ),
        keys={
            "time": ("time", "date", "@timestamp", "timestamp"),
            "method": ("method",),
            "target": ("path",),
            "status": ("code",),
            "client": ("remote",),
            "agent": ("agent",),
        },
        marks=("remote", r"method ~ [A-Z]{3,7}$", "path ~ /", r"code ~ \d{3}$", "!body|headers|request"),
    ),
    Format(
        "log_event",
        "json",
        "Events that Caddy, Traefik and other servers write next to their access log; they contain no requests",
        "https://caddyserver.com/docs/logging",
        (
            b'{"level":"info","ts":1714564800.75,"logger":"http.log","msg":"server running","name":"srv0"}',
            b'{"level":"error","ts":1714564800.75,"logger":"http.log.error","msg":"x","request":{"uri":"/a/collect/b"}}',
            b'{"level":"error","msg":"no server","time":"2024-05-01T12:00:00Z"}',
        ),
        keys={},
        marks=(
            f"level ~ {_EVENT_LEVEL}",
            "ts|time",
            "msg",
            f"!{_CADDY_ACCESS}",
            "!RequestPath|RequestMethod|status|method|request_uri|http|req",
        ),
        moment="none",
    ),
    Format(
        "haproxy_json",
        "json",
        "HAProxy log in JSON, by a log-format of one's own, with common names or HAProxy's own for its variables",
        "https://docs.haproxy.org/3.0/configuration.html#8.2.6",
        (
            (
                b'{"timestamp":"01/May/2024:12:00:00.250","client_ip":"192.0.2.7","client_port":53211,"frontend_name":"web",'
                b'"backend_name":"app","status_code":200,"http_request":"GET /acme/collect/shop?click_id=a HTTP/1.1"}'
            ),
            (
                b'{"t":"01/May/2024:12:00:00.250","ci":"192.0.2.7","ft":"web~","b":"app","ST":"200","HM":"GET",'
                b'"HP":"/acme/collect/shop","HQ":"?click_id=a"}'
            ),
        ),
        keys={
            "time": (*("accept_date", "timestamp", "time", "date_time", "date", "t", "tr", "T", "@timestamp"),),
            "request": ("http_request", "request", "request_line", "r"),
            "method": ("http_method", "method", "HM", "hm", "http_verb", "http.method"),
            "target": (
                "HU",
                "hu",
                "http_uri",
                "http_request_uri",
                "request_uri",
                "uri",
                "url",
                "http.request_uri",
                "http.uri",
            ),
            "path": ("HP", "hp", "http_path", "path", "http.path"),
            "query": ("HQ", "hq", "http_query", "http_query_string", "query_string", "http.query"),
            "status": (
                "status_code",
                "http_status",
                "status",
                "ST",
                "st",
                "http_status_code",
                "http.status",
                "http.status_code",
            ),
            "client": ("client_ip", "ci", "client_address", "src", "clientip", "client.ip", "client"),
            "agent": ("user_agent", "http_user_agent", "useragent"),
        },
        marks=(
            "frontend_name|frontend|ft|fe|haproxy_frontend_name|frontend_name_transport|haproxy_backend_name",
            "accept_date|timestamp|time|date_time|date|t|tr|T|@timestamp",
            f"{_HAPROXY_REQUESTS} ~ /|https?://|[A-Z]{{3,7}} /|[A-Z]{{3,7}} https?://",
            "!click_id|clickid|ref_id|body|payload",
        ),
        time="any",
        moment="start",
        is_zoned=False,
    ),
    Format(
        "traefik_json",
        "json",
        "Traefik access log in JSON",
        "https://doc.traefik.io/traefik/observability/access-logs/",
        (
            (
                b'{"ClientAddr":"192.0.2.7:443","ClientHost":"192.0.2.7","DownstreamStatus":200,"Duration":250000,"RequestMethod":'
                b'"GET","RequestPath":"/acme/collect/shop?click_id=a","StartUTC":"2024-05-01T12:00:00.464763557Z","level":"info",'
                b'"msg":"","time":"2024-05-01T12:00:01Z"}'
            ),
            b'{"ClientHost":"192.0.2.7","DownstreamStatus":"200","RequestPath":"/a","StartUTC":"2024-05-01T12:00:00Z"}',
        ),
        keys={
            "time": ("StartUTC", "StartLocal", "time"),
            "method": ("RequestMethod",),
            "target": ("RequestPath",),
            "status": ("DownstreamStatus", "OriginStatus"),
            "client": ("ClientHost", "ClientAddr"),
            "agent": ("request_User-Agent", "request_user-agent"),
        },
        marks=("RequestPath|RequestMethod", "StartUTC|StartLocal|ClientHost|ClientAddr|RequestHost"),
        moment="start",
    ),
    Format(
        "envoy_json",
        "json",
        "Envoy or Istio access log in JSON",
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage",
        (
            (
                b'{"start_time":"2024-05-01T12:00:00.100Z","method":"GET","x-envoy-origin-path":"/acme/collect/shop?click_id=a",'
                b'"response_code":200,"user-agent":"Acme/1","downstream_remote_address":"192.0.2.7:40000",":authority":"a.example"}'
            ),
            (
                b'{"start_time":"2024-05-01T12:00:00.100Z","method":"GET","path":"/acme/collect/shop","response_code":200,'
                b'"response_flags":"-","authority":"example.com","duration":3}'
            ),
            b'{"start_time":"2024-05-01T12:00:00.100Z","method":null,"path":null,"response_code":0,"response_flags":"UF"}',
        ),
        keys={
            "time": ("start_time", "timestamp", "time"),
            "method": ("method", ":method", "request_method"),
            "target": ("x-envoy-origin-path", "x-envoy-original-path", "x_envoy_origin_path", "path", ":path", "uri"),
            "status": ("response_code", "response-code", "status"),
            "client": ("downstream_remote_address", "x-forwarded-for", "x_forwarded_for"),
            "agent": ("user-agent", "user_agent"),
        },
        marks=(
            "response_code|response-code|response_flags|x-envoy-origin-path",
            "start_time|timestamp|time",
            "method|:method|request_method|path|:path|x-envoy-origin-path|response_flags",
            ":authority|authority|start_time|upstream_host|upstream_cluster|downstream_remote_address|response_flags",
            "!request|request_uri",
        ),
        moment="start",
    ),
)
