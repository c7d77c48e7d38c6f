"""Finds the times within a line of unknown layout, in any known notation."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from etl.sources.readers.timestamps import in_zone, read_any

_CLOCK: Final = r"\d\d:\d\d:\d\d"
#: Notations beside those of `timestamps`: of gin and Go's log, and of C's asctime.
_LAYOUTS: Final = (
    (re.compile(rf"\d{{4}}/\d\d/\d\d - {_CLOCK}"), "%Y/%m/%d - %H:%M:%S"),
    (re.compile(rf"\d{{4}}/\d\d/\d\d {_CLOCK}"), "%Y/%m/%d %H:%M:%S"),
    (re.compile(rf"[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} [ \d]\d {_CLOCK} \d{{4}}"), "%a %b %d %H:%M:%S %Y"),
)
_WRITTEN: Final = re.compile(
    (
        r"(?<!\d)\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|GMT)(?!\w)| ?[+-]\d\d:?\d\d(?!\d))?"
        rf"|(?<!\d)\d\d/[A-Z][a-z]{{2}}/\d{{4}}[: ]{_CLOCK}(?:\.\d+)?(?: [+-]\d{{4}})?"
        rf"|(?<!\d)\d\d-[A-Z][a-z]{{2}}-\d{{4}} {_CLOCK}(?: UTC| GMT)?"
        rf"|[A-Z][a-z]{{2}}, \d\d? [A-Z][a-z]{{2}} \d{{4}} {_CLOCK} [+-]\d{{4}}"
        + "".join(f"|(?<![0-9]){pattern.pattern}" for pattern, _ in _LAYOUTS)
    ).encode()
)
_EPOCH: Final = re.compile(rb"(?<![\w.:/-])\d{10}(?:\.\d{1,9}|\d{3}|\d{6}|\d{9})?(?![\w.:/-])")
_OFFSET: Final = re.compile(r" (?=[+-]\d\d:?\d\d\Z)")


def find_times(line: bytes, zone: str) -> list[tuple[range, datetime]]:
    """Finds the times of a line, or else its numbers since 1970, with the places where they stand.

    Args:
        line: The line.
        zone: IANA name of the zone for times without a zone.

    Examples:
        >>> [str(moment) for _, moment in find_times(b"2024/05/01 - 12:00:01 | 2024-05-01 12:00:02 +0000", "UTC")]
        ['2024-05-01 12:00:01+00:00', '2024-05-01 12:00:02+00:00']
        >>> [str(moment) for _, moment in find_times(b"1714564800.125 5 192.0.2.7", "UTC")]
        ['2024-05-01 12:00:00.125000+00:00']
    """
    for pattern in (_WRITTEN, _EPOCH):
        found = [
            (range(*match.span()), moment)
            for match in pattern.finditer(line)
            if (moment := _read(match[0].decode("latin-1"), zone))
        ]
        if found:
            return found
    return []


def _read(text: str, zone: str) -> datetime | None:
    """Parses a time; None if it does not exist."""
    for pattern, layout in _LAYOUTS:
        if pattern.fullmatch(text):
            try:
                return in_zone(datetime.strptime(text, layout), zone).astimezone(UTC)  # noqa: DTZ007
            except ValueError:
                return None
    return read_any(text if "/" in text or "," in text[:4] else _OFFSET.sub("", text), zone)
