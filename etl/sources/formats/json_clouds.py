"""Defines JSON access logs of clouds and content delivery networks: each format's marks and keys."""

from __future__ import annotations

from typing import Final

from etl.sources.format import Format

CLOUDS: Final[tuple[Format, ...]] = (
    Format(
        "cloudflare_logpush",
        "json",
        "Cloudflare Logpush, datasets http_requests and firewall_events",
        "https://developers.cloudflare.com/logs/reference/log-fields/zone/http_requests/",
        (
            (
                b'{"ClientIP":"192.0.2.7","ClientRequestMethod":"GET","ClientRequestURI":"/acme/collect/shop?click_id=a",'
                b'"EdgeResponseStatus":200,"EdgeStartTimestamp":1714564800123456789,"ClientRequestUserAgent":"Acme/1"}'
            ),
            b'{"ClientRequestPath":"/acme/collect/shop","EdgeStartTimestamp":"2024-05-01T12:00:00Z"}',
            (
                b'{"Action":"log","ClientIP":"192.0.2.7","ClientRequestMethod":"GET","ClientRequestPath":"/acme/collect/shop",'
                b'"ClientRequestQuery":"?click_id=a","EdgeResponseStatus":200,"Datetime":"2024-05-01T12:00:00Z"}'
            ),
        ),
        keys={
            "time": ("EdgeStartTimestamp", "EdgeEndTimestamp", "Datetime"),
            "method": ("ClientRequestMethod",),
            "target": ("ClientRequestURI",),
            "path": ("ClientRequestPath",),
            "query": ("ClientRequestQuery",),
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
        "Google Cloud Logging: requests to load balancers and Cloud Run",
        "https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry",
        (
            (
                b'{"httpRequest":{"requestMethod":"GET","requestUrl":"https://example.com/acme/collect/shop?click_id=a","status":'
                b'200,"remoteIp":"192.0.2.7:443","userAgent":"Acme/1","latency":"0.002s"},"insertId":"1","timestamp":'
                b'"2024-05-01T12:00:00.123456Z","logName":"projects/p/logs/requests"}'
            ),
            b'{"insertId":"2","logName":"projects/p/logs/x","protoPayload":{},"timestamp":"2024-05-01T12:00:00Z"}',
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
        "Azure gateway diagnostic logs other than access logs; they contain no requests",
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
