"""Prefixes that containers and shippers put before a line: docker compose, CRI, docker logs -t, syslog."""

from __future__ import annotations

import re
from typing import Final

_ISO: Final = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"

#: Heroku's router is a syslog sender whose time has to stay.
_PREFIX: Final = re.compile(
    rb"[A-Za-z0-9][\w.-]{0,99} +\| ?"
    rb"|" + _ISO + rb" (?:stdout|stderr) [FP] "
    rb"|" + _ISO + rb" (?=\S+ \S+ [^\[]*\[\d\d/[A-Z][a-z]{2}/\d{4}:)"
    rb"|<\d{1,3}>1 \S+ \S+ (?!heroku|app )\S+ \S+ \S+ (?:-|(?:\[(?:[^\]\\]|\\.)*\])+) ?(?:\xef\xbb\xbf)?"
    rb"|(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|" + _ISO + rb") (?!heroku\[|app\[)\S+ (?!heroku/router:)"
    rb"[A-Za-z][\w./-]*(?:\[\d+\])?: "
)


def without_prefix(line: bytes) -> bytes:
    """A line without what was put before it.

    Examples:
        >>> without_prefix(b'web-1  | {"a": 1}'), without_prefix(b"2024-05-01T12:00:00.1Z stdout F {}")
        (b'{"a": 1}', b'{}')
        >>> without_prefix(b"<134>May  1 12:00:00 host nginx[7]: 192.0.2.7 - -")
        b'192.0.2.7 - -'
    """
    if line[:1] in b"{[":
        return line
    match = _PREFIX.match(line)
    return line[match.end() :] if match else line
