"""Access logs in JSON whose keys a server or a service has fixed: rows of what marks them and which key holds what."""

from __future__ import annotations

from typing import Final

from etl.sources.format_rows import Format

_EVENT_LEVEL: Final = r"(?i)(?:trace|debug|info|notice|warn|warning|error|dpanic|fatal|panic)$"
_CADDY_ACCESS: Final = r"logger ~ http\.log\.access"
_AGENT_HEADERS: Final = ("request.headers.User-Agent", "request.headers.user-agent")

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
        "log_event",
        "json",
        "Events that Caddy, Traefik and others write beside their access log: no request",
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
            "!RequestPath|RequestMethod|status|method|request_uri",
        ),
        moment="none",
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
    Format(
        "cloudflare_logpush",
        "json",
        "Cloudflare Logpush, dataset http_requests",
        "https://developers.cloudflare.com/logs/reference/log-fields/zone/http_requests/",
        (
            (
                b'{"ClientIP":"192.0.2.7","ClientRequestMethod":"GET","ClientRequestURI":"/acme/collect/shop?click_id=a",'
                b'"EdgeResponseStatus":200,"EdgeStartTimestamp":1714564800123456789,"ClientRequestUserAgent":"Acme/1"}'
            ),
            b'{"ClientRequestPath":"/acme/collect/shop","EdgeStartTimestamp":"2024-05-01T12:00:00Z"}',
        ),
        keys={
            "time": ("EdgeStartTimestamp", "EdgeEndTimestamp"),
            "method": ("ClientRequestMethod",),
            "target": ("ClientRequestURI",),
            "path": ("ClientRequestPath",),
            "status": ("EdgeResponseStatus", "OriginResponseStatus"),
            "client": ("ClientIP",),
            "agent": ("ClientRequestUserAgent",),
        },
        marks=("ClientRequestURI|ClientRequestPath",),
        moment="start",
    ),
    Format(
        "cloudflare_workers",
        "json",
        "Cloudflare Workers trace events",
        "https://developers.cloudflare.com/logs/reference/log-fields/account/workers_trace_events/",
        (
            (
                b'{"Event":{"RayID":"1","Request":{"URL":"https://example.com/acme/collect/shop?click_id=a","Method":"GET"},'
                b'"Response":{"Status":200}},"EventTimestampMs":1714564800123,"EventType":"fetch","Outcome":"ok",'
                b'"ScriptName":"w","Logs":[]}'
            ),
            b'{"Event":{"Cron":"* * * * *"},"EventTimestampMs":1714564800123,"EventType":"scheduled","Outcome":"ok"}',
        ),
        keys={
            "time": ("EventTimestampMs",),
            "method": ("Event.Request.Method",),
            "url": ("Event.Request.URL",),
            "status": ("Event.Response.Status",),
        },
        marks=("EventTimestampMs", "Outcome|ScriptName|EventType"),
        moment="start",
    ),
    Format(
        "gcp_load_balancer",
        "json",
        "Google Cloud logging: requests of load balancers and Cloud Run",
        "https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry",
        (
            (
                b'{"httpRequest":{"requestMethod":"GET","requestUrl":"https://example.com/acme/collect/shop?click_id=a","status":'
                b'200,"remoteIp":"192.0.2.7:443","userAgent":"Acme/1","latency":"0.002s"},"insertId":"1","timestamp":'
                b'"2024-05-01T12:00:00.123456Z","logName":"projects/p/logs/requests"}'
            ),
            b'{"insertId":"2","logName":"projects/p/logs/x","textPayload":"started","timestamp":"2024-05-01T12:00:00Z"}',
        ),
        keys={
            "time": ("timestamp", "receiveTimestamp"),
            "method": ("httpRequest.requestMethod",),
            "url": ("httpRequest.requestUrl",),
            "status": ("httpRequest.status",),
            "client": ("httpRequest.remoteIp",),
            "agent": ("httpRequest.userAgent",),
        },
        marks=("httpRequest|insertId", "httpRequest.requestUrl|logName"),
        moment="start",
    ),
    Format(
        "azure_application_gateway",
        "json",
        "Azure Application Gateway access log",
        "https://learn.microsoft.com/azure/application-gateway/application-gateway-diagnostics",
        (
            (
                b'{"timeStamp":"2024-05-01T12:00:00+00:00","operationName":"ApplicationGatewayAccess","category":'
                b'"ApplicationGatewayAccessLog","properties":{"clientIP":"192.0.2.7","httpMethod":"GET",'
                b'"originalRequestUriWithArgs":"\\/acme\\/collect\\/shop?click_id=a","requestUri":"\\/","requestQuery":"",'
                b'"userAgent":"Acme\\/1","httpStatus":200}}'
            ),
            (
                b'{"time":"2024-05-01T12:00:00Z","category":"ApplicationGatewayAccessLog","properties":{"clientIP":"192.0.2.7",'
                b'"httpMethod":"GET","requestUri":"/acme/collect/shop","requestQuery":"click_id=a","httpStatus":200}}'
            ),
        ),
        keys={
            "time": ("timeStamp", "time"),
            "method": ("properties.httpMethod",),
            "target": ("properties.originalRequestUriWithArgs",),
            "path": ("properties.requestUri",),
            "query": ("properties.requestQuery",),
            "status": ("properties.httpStatus",),
            "client": ("properties.clientIP",),
            "agent": ("properties.userAgent",),
        },
        marks=("properties.httpMethod", "properties.httpStatus|properties.clientIP", "!properties.httpStatusCode"),
        container=("records",),
    ),
    Format(
        "azure_front_door",
        "json",
        "Azure Front Door access log",
        "https://learn.microsoft.com/azure/frontdoor/monitor-front-door",
        (
            (
                b'{"time":"2024-05-01T12:00:00.1234567Z","category":"FrontDoorAccessLog","properties":{"httpMethod":"GET",'
                b'"httpVersion":"1.1.0.0","requestUri":"https://example.com:443/acme/collect/shop?click_id=a","clientIp":'
                b'"192.0.2.7","httpStatusCode":"200","userAgent":"Acme/1"}}'
            ),
        ),
        keys={
            "time": ("time", "timeStamp"),
            "method": ("properties.httpMethod",),
            "url": ("properties.requestUri",),
            "status": ("properties.httpStatusCode",),
            "client": ("properties.clientIp", "properties.socketIp"),
            "agent": ("properties.userAgent",),
        },
        marks=("properties.httpMethod", "properties.httpStatusCode"),
        container=("records",),
    ),
    Format(
        "azure_event",
        "json",
        "Other diagnostic logs of Azure's gateways beside their access log: no request",
        "https://learn.microsoft.com/azure/application-gateway/application-gateway-diagnostics",
        (
            b'{"time":"2024-05-01T12:00:00Z","category":"ApplicationGatewayFirewallLog","properties":{"requestUri":"/a"}}',
        ),
        keys={},
        marks=(r"category ~ ApplicationGateway|Front[Dd]oor", "properties", "!properties.httpMethod"),
        container=("records",),
        moment="none",
    ),
    Format(
        "fastly_json",
        "json",
        "Fastly real-time log in its documented JSON template",
        "https://www.fastly.com/documentation/guides/integrations/logging/",
        (
            (
                b'{"timestamp":"2024-05-01T12:00:00+0000","client_ip":"192.0.2.7","host":"example.com","url":'
                b'"/acme/collect/shop?click_id=a","request_method":"GET","request_protocol":"HTTP/1.1","request_user_agent":'
                b'"Acme/1","response_status":200,"fastly_server":"x","fastly_is_edge":true}'
            ),
        ),
        keys={
            "time": ("timestamp", "time_start"),
            "method": ("request_method", "method"),
            "target": ("url",),
            "status": ("response_status", "status"),
            "client": ("client_ip",),
            "agent": ("request_user_agent", "user_agent"),
        },
        marks=(
            "url ~ /|https?://",
            "request_method|method",
            "response_status|request_protocol|fastly_server|fastly_is_edge",
            "timestamp|time_start|client_ip|fastly_server",
            "!request|request_uri|uri|body|headers|received_at",
        ),
        moment="start",
    ),
    Format(
        "akamai_datastream",
        "json",
        "Akamai DataStream 2",
        "https://techdocs.akamai.com/datastream2/docs/data-set-parameters",
        (
            (
                b'{"reqTimeSec":"1714564800.125","cliIP":"192.0.2.7","reqMethod":"GET","reqHost":"example.com","reqPath":'
                b'"/acme/collect/shop","queryStr":"click_id=a","statusCode":"200","UA":"-"}'
            ),
            b'{"reqTimeSec":"1714564800","reqPath":"acme/collect/shop","queryStr":"-","statusCode":"200"}',
        ),
        keys={
            "time": ("reqTimeSec",),
            "method": ("reqMethod",),
            "path": ("reqPath",),
            "query": ("queryStr",),
            "status": ("statusCode",),
            "client": ("cliIP",),
            "agent": ("UA",),
        },
        marks=("reqPath", "reqTimeSec|reqMethod|reqHost|cliIP"),
        moment="start",
    ),
    Format(
        "akamai_siem",
        "json",
        "Akamai SIEM events",
        "https://techdocs.akamai.com/siem-integration/docs/siem-event-format",
        (
            (
                b'{"attackData":{"clientIP":"192.0.2.7"},"httpMessage":{"method":"GET","path":"/acme/collect/shop","query":'
                b'"click_id=a","status":"200","start":"1714564800"}}'
            ),
        ),
        keys={
            "time": ("httpMessage.start",),
            "method": ("httpMessage.method",),
            "path": ("httpMessage.path",),
            "query": ("httpMessage.query",),
            "status": ("httpMessage.status",),
            "client": ("attackData.clientIP",),
        },
        marks=("httpMessage.path",),
        moment="start",
    ),
    Format(
        "cloudfront_json",
        "json",
        "Amazon CloudFront standard or real-time log delivered as JSON",
        "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logging.html",
        (
            (
                b'{"date":"2024-05-01","time":"12:00:00","c-ip":"192.0.2.7","cs-method":"GET","cs-uri-stem":"/acme/collect/shop",'
                b'"cs-uri-query":"click_id=a%2520b","sc-status":"200","cs(User-Agent)":"Acme/1"}'
            ),
            b'{"timestamp":"1714564800","cs-method":"GET","cs-uri-stem":"/acme/collect/shop","cs-uri-query":"-"}',
        ),
        keys={
            "date": ("date",),
            "time": ("time", "timestamp", "timestamp(ms)"),
            "method": ("cs-method",),
            "path": ("cs-uri-stem",),
            "query": ("cs-uri-query",),
            "status": ("sc-status",),
            "client": ("c-ip",),
            "agent": ("cs(User-Agent)", "cs-user-agent"),
        },
        marks=("cs-uri-stem",),
        escape="cloudfront",
    ),
)
