"""Defines and parses HTTP requests in AWS Lambda events: API Gateway, function URLs, load balancers."""

from __future__ import annotations

from typing import Any, Final

from etl.columnar import json_codec
from etl.sources.format import Format
from etl.sources.readers.json_matching import value_at
from etl.sources.readers.request_fields import record_of
from etl.sources.record import Record

_FORMAT_1: Final = "https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html"


def read_rest_event(event: dict[str, Any]) -> Record:
    """Parses an API Gateway event in format 1.0. Only its multi-value map has all values of repeated parameters."""
    return record_of(
        {
            **_common(event),
            "time": value_at(event, "requestContext.requestTimeEpoch") or value_at(event, "requestContext.requestTime"),
            "path": event.get("path") or value_at(event, "requestContext.path"),
            "query": event.get("multiValueQueryStringParameters") or event.get("queryStringParameters"),
            "client": value_at(event, "requestContext.identity.sourceIp") or _header(event, "x-forwarded-for"),
        }
    )


def read_http_event(event: dict[str, Any]) -> Record:
    """Parses an event of an HTTP API or function URL: format 2.0, which contains the raw query."""
    raw = event.get("rawQueryString")
    return record_of(
        {
            **_common(event),
            "time": value_at(event, "requestContext.timeEpoch") or value_at(event, "requestContext.time"),
            "method": value_at(event, "requestContext.http.method"),
            "path": event.get("rawPath") or value_at(event, "requestContext.http.path"),
            "query": event.get("queryStringParameters") if raw is None else raw,
            "client": value_at(event, "requestContext.http.sourceIp") or _header(event, "x-forwarded-for"),
        }
    )


def read_balancer_event(event: dict[str, Any]) -> Record:
    """Parses a load balancer event. Its parameter names and values are still percent-encoded, and it has no time."""
    sent = event.get("multiValueQueryStringParameters") or event.get("queryStringParameters")
    return record_of(
        {
            **_common(event),
            "path": event.get("path"),
            "query": _raw_query(sent) if isinstance(sent, dict) else None,
            "client": _header(event, "x-forwarded-for"),
        }
    )


def _common(event: dict[str, Any]) -> dict[str, Any]:
    """Returns the roles that all events share."""
    return {
        "method": event.get("httpMethod"),
        "body": event.get("body"),
        "is_base64": event.get("isBase64Encoded"),
        "agent": _header(event, "user-agent") or value_at(event, "requestContext.http.userAgent"),
    }


def _raw_query(sent: dict[str, Any]) -> str:
    """Joins encoded parameters to the query as it was sent."""
    return "&".join(
        f"{name}={json_codec.scalar(value) or ''}"
        for name, values in sent.items()
        for value in (values if isinstance(values, list) else [values])
    )


def _header(event: dict[str, Any], name: str) -> Any:
    """Returns a header's value, or the first of several; letter case of the name does not matter."""
    maps = [headers for key in ("headers", "multiValueHeaders") if isinstance(headers := event.get(key), dict)]
    return next((value for headers in maps for key, value in headers.items() if key.lower() == name), None)


FORMATS: Final[tuple[Format, ...]] = (
    Format(
        "api_gateway_v1",
        "json",
        "AWS API Gateway event, payload format 1.0",
        _FORMAT_1,
        (
            (
                b'{"resource":"/{proxy+}","path":"/acme/collect/shop","httpMethod":"POST","headers":{"User-Agent":"Acme/1"},'
                b'"queryStringParameters":{"click_id":"b"},"multiValueQueryStringParameters":{"click_id":["a","b"]},'
                b'"requestContext":{"requestTimeEpoch":1714564800123,"identity":{"sourceIp":"192.0.2.7"}},'
                b'"body":"{\\"value\\":1}","isBase64Encoded":false}'
            ),
        ),
        marks=(
            "httpMethod",
            "path|resource",
            "queryStringParameters|multiValueQueryStringParameters|requestContext|isBase64Encoded",
            "!requestContext.elb",
        ),
        moment="start",
        is_body_logged=True,
        read=read_rest_event,
    ),
    Format(
        "api_gateway_v2",
        "json",
        "AWS API Gateway event, payload format 2.0, and Lambda function URL",
        "https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html",
        (
            (
                b'{"version":"2.0","rawPath":"/acme/collect/shop","rawQueryString":"click_id=a&click_id=b","headers":{},'
                b'"queryStringParameters":{"click_id":"a,b"},"requestContext":{"http":{"method":"GET","path":'
                b'"/acme/collect/shop","sourceIp":"192.0.2.7","userAgent":"Acme/1"},"timeEpoch":1714564800123},'
                b'"isBase64Encoded":false}'
            ),
        ),
        marks=("rawPath", "rawQueryString|requestContext.http"),
        moment="start",
        is_body_logged=True,
        read=read_http_event,
    ),
    Format(
        "load_balancer_event",
        "json",
        "AWS load balancer event for Lambda",
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html",
        (
            (
                b'{"requestContext":{"elb":{"targetGroupArn":"arn"}},"httpMethod":"GET","path":"/acme/collect/shop",'
                b'"multiValueQueryStringParameters":{"click_id":["a%20b","c"]},"multiValueHeaders":{"x-forwarded-for":'
                b'["192.0.2.7"],"user-agent":["Acme/1"]},"body":"","isBase64Encoded":false}'
            ),
        ),
        marks=("requestContext.elb", "httpMethod"),
        moment="none",
        is_body_logged=True,
        read=read_balancer_event,
    ),
)
