"""Defines the lines that web frameworks write when a request begins and ends: one of the two is its record."""

from __future__ import annotations

from typing import Final

from etl.sources.format import Format

_TIME: Final = rb"(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?)"

_CATEGORY: Final = rb"(?:[a-z]{4}: )?[\w.]+\[\d+\]"

FRAMEWORKS: Final = (
    Format(
        "koa",
        "text",
        "Requests that the logger of Koa or Hono writes: the answer is the record, the line before it is none",
        "https://github.com/koajs/logger",
        (
            b"  --> GET /acme/collect/shop?click_id=a 200 5ms 2b",
            b"  xxx GET /acme/collect/shop?click_id=a 500 5ms -",
            b"--> GET /acme/collect/shop?click_id=a 200 5ms",
            b"  <-- GET /acme/collect/shop?click_id=a",
        ),
        pattern=rb"\s*(?:(?:-->|xxx|-x-) (?P<method>[A-Z]+) (?P<target>/\S*) (?P<status>\d{3})(?: [\d.,]+m?s)?(?: \S+)?"
        rb"|<-- [A-Z]+ (?P<repeated>/\S*))\s*",
        moment="none",
    ),
    Format(
        "aspnet",
        "text",
        "Requests that ASP.NET Core logs: the start is the record, the line of the end is none",
        "https://learn.microsoft.com/aspnet/core/fundamentals/logging/",
        (
            b"      Request starting HTTP/1.1 GET http://t.example.com/acme/collect/shop?click_id=a - - -",
            (
                b"2024-05-01 12:00:00.123 +00:00 [INF] Request starting HTTP/2 GET "
                b"https://t.example.com/acme/collect/shop?click_id=a - -"
            ),
            b"      Request finished in 5.1234ms 200 text/plain",
        ),
        pattern=rb"(?:\s*|\[?" + _TIME + rb"\]? ?(?:\[[A-Z]{3}\] |" + _CATEGORY + rb" )|" + _CATEGORY + rb"\s+)Request "
        rb"(?:starting HTTP/\d(?:\.\d)? (?P<method>[A-Z]+) (?P<target>https?://\S+?)"
        rb"|finished (?:HTTP/\d(?:\.\d)? [A-Z]+ (?P<repeated>https?://\S+?)|in [\d.]+ms))"
        rb"(?:(?:\s.*?)?(?P<second>(?:\s{2,}|" + _CATEGORY + rb" )Request (?:starting|finished) ).*|\s.*)?"
        rb"|" + _CATEGORY.replace(rb"[\w.]+", rb"Microsoft\.[\w.]+"),
        time="any",
        moment="start",
        is_zoned=False,
    ),
)
