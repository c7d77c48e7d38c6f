"""Defines requests in the structured logs of applications: OpenTelemetry, Serilog and ASP.NET Core."""

from __future__ import annotations

from typing import Final

from etl.sources.format import Format


def _under(*outer: str) -> dict[str, tuple[str, ...]]:
    """Returns the keys of OpenTelemetry's attributes, present and former, under each of the outer keys."""
    names = {
        "method": ("http.request.method", "http.method"),
        "target": ("url.full", "http.target", "http.url", "url.original"),
        "path": ("url.path",),
        "query": ("url.query",),
        "status": ("http.response.status_code", "http.status_code"),
        "client": ("client.address", "http.client_ip", "network.peer.address", "net.peer.ip", "source.address"),
        "agent": ("user_agent.original", "http.user_agent"),
        "body": ("http.request.body.content", "http.request.body"),
    }
    return {role: tuple(f"{key}.{name}" for name in held for key in outer) for role, held in names.items()}


_OTEL_KEYS: Final = _under("attributes", "Attributes", "logAttributes", "LogAttributes", "SpanAttributes")
_OTEL_TIMES: Final = (
    *("timeUnixNano", "startTimeUnixNano", "timestamp", "Timestamp", "@timestamp", "time", "startTime", "start_time"),
    *("observedTimeUnixNano", "observedTimestamp", "ObservedTimestamp"),
)
_SERILOG: Final = "https://github.com/serilog/serilog-formatting-compact"
_ASP_NET: Final = "https://learn.microsoft.com/aspnet/core/fundamentals/logging/"


def _properties(*names: str) -> tuple[str, ...]:
    """Returns the paths of properties in Serilog's compact JSON and in its full JSON."""
    return tuple(path for name in names for path in (name, f"Properties.{name}"))


TELEMETRY: Final[tuple[Format, ...]] = (
    Format(
        "otel",
        "json",
        "Log record or span of OpenTelemetry whose attributes describe a request",
        "https://opentelemetry.io/docs/specs/semconv/http/http-spans/",
        (
            (
                b'{"timestamp":"2024-05-01T12:00:00.123Z","severity":"INFO","body":"request","attributes":'
                b'{"http.request.method":"GET","url.path":"/acme/collect/shop","url.query":"click_id=a",'
                b'"http.response.status_code":200,"client.address":"192.0.2.7","user_agent.original":"Acme/1"}}'
            ),
            (
                b'{"timeUnixNano":"1714564800123000000","severityText":"INFO","attributes":{"http.method":"POST",'
                b'"http.target":"/acme/collect/shop?click_id=a","http.status_code":200}}'
            ),
        ),
        keys={"time": _OTEL_TIMES, **_OTEL_KEYS},
        marks=("|".join((*_OTEL_KEYS["target"], *_OTEL_KEYS["path"])), "|".join(_OTEL_TIMES)),
        time="any",
        moment="start",
    ),
    Format(
        "serilog",
        "json",
        "Requests that Serilog logs in its compact or its full JSON",
        _SERILOG,
        (
            (
                b'{"@t":"2024-05-01T12:00:00.1234567Z","@mt":"HTTP {RequestMethod} {RequestPath}",'
                b'"RequestMethod":"GET","RequestPath":"/acme/collect/shop","QueryString":"?click_id=a","StatusCode":200,'
                b'"Elapsed":4.2,"ClientIp":"192.0.2.7"}'
            ),
            (
                b'{"Timestamp":"2024-05-01T12:00:00.1234567+00:00","Level":"Information","MessageTemplate":'
                b'"HTTP {RequestMethod} {RequestPath}","Properties":{"RequestMethod":"GET","RequestPath":'
                b'"/acme/collect/shop?click_id=a","StatusCode":200}}'
            ),
        ),
        keys={
            "time": ("@t", "Timestamp"),
            "method": _properties("RequestMethod"),
            "target": _properties("RequestPath"),
            "query": _properties("QueryString", "RequestQueryString", "RequestQuery"),
            "status": _properties("StatusCode"),
            "client": _properties("ClientIp", "ClientIP", "RemoteIpAddress", "RemoteIP", "RemoteIp", "IpAddress"),
            "agent": _properties("UserAgent", "ClientAgent", "RequestUserAgent"),
            "body": _properties("RequestBody"),
        },
        marks=(
            "@t|Timestamp",
            "@mt|@m|@i|MessageTemplate|RenderedMessage",
            "RequestPath|Properties.RequestPath",
            "RequestMethod|Properties.RequestMethod",
        ),
    ),
    Format(
        "aspnet_json",
        "json",
        "Start of a request that ASP.NET Core logs in JSON, by its console or by Serilog",
        _ASP_NET,
        (
            (
                b'{"Timestamp":"2024-05-01T12:00:00.123Z","EventId":1,"LogLevel":"Information","Category":'
                b'"Microsoft.AspNetCore.Hosting.Diagnostics","Message":"Request starting","State":'
                b'{"Protocol":"HTTP/1.1","Method":"GET","Host":"t.example.com","Path":"/acme/collect/shop","QueryString":"?click_id=a"}}'
            ),
            (
                b'{"@t":"2024-05-01T12:00:00.123Z","@mt":"Request starting {Protocol} {Method}","Protocol":"HTTP/1.1",'
                b'"Method":"GET","Path":"/acme/collect/shop","QueryString":"?click_id=a"}'
            ),
        ),
        keys={
            "time": ("Timestamp", "@t"),
            "method": ("State.Method", *_properties("Method")),
            "path": ("State.Path", *_properties("Path")),
            "query": ("State.QueryString", *_properties("QueryString")),
        },
        marks=(
            "State.Protocol|Protocol|Properties.Protocol ~ HTTP/",
            "State.Method|Method|Properties.Method",
            "State.Path|Path|Properties.Path",
            "!State.StatusCode|StatusCode|Properties.StatusCode",
            "!RequestPath|RequestMethod|StartUTC",
        ),
        moment="start",
    ),
    Format(
        "aspnet_json_finish",
        "json",
        "End of a request that ASP.NET Core logs in JSON; its start is the record of the request",
        _ASP_NET,
        (
            (
                b'{"EventId":2,"LogLevel":"Information","Category":"Microsoft.AspNetCore.Hosting.Diagnostics","State":'
                b'{"ElapsedMilliseconds":5.1,"StatusCode":200,"Protocol":"HTTP/1.1","Method":"GET","Path":'
                b'"/acme/collect/shop","QueryString":"?click_id=a"}}'
            ),
        ),
        keys={"repeated": ("State.Path", *_properties("Path"))},
        marks=(
            "State.Protocol|Protocol|Properties.Protocol ~ HTTP/",
            "State.StatusCode|StatusCode|Properties.StatusCode",
            "State.Path|Path|Properties.Path",
            "!RequestPath|RequestMethod|StartUTC|Properties.RequestPath",
        ),
        moment="none",
    ),
    Format(
        "serilog_event",
        "json",
        "Other events that Serilog logs beside requests; they contain no requests",
        _SERILOG,
        (
            b'{"@t":"2024-05-01T12:00:00.123Z","@mt":"Now listening on: {address}","address":"http://[::]:8080"}',
            b'{"Timestamp":"2024-05-01T12:00:00Z","Level":"Information","MessageTemplate":"Started","Properties":{}}',
        ),
        keys={},
        marks=(
            "@t|MessageTemplate",
            "@mt|@m|@i|Level",
            "@t|Timestamp",
            "!RequestMethod|Properties.RequestMethod|Protocol|State",
        ),
        moment="none",
    ),
)
