"""Lists all carriers, and finds which of them an input's records show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from etl.sources.carriers.carrier import Carrier
from etl.sources.carriers.json_carriers import JSON_CARRIERS
from etl.sources.carriers.line_carriers import LINE_CARRIERS
from etl.sources.carriers.opening import MAX_DEPTH, MAX_INFLATED, Level, TooMuchError, inflated, json_object
from etl.sources.carriers.queue_carriers import QUEUE_CARRIERS
from etl.sources.carriers.telemetry_carriers import TELEMETRY_CARRIERS

#: All carriers; of two that recognise a record, the first counts.
CARRIERS: Final = (*LINE_CARRIERS, *TELEMETRY_CARRIERS, *QUEUE_CARRIERS, *JSON_CARRIERS)
BY_NAME: Final = {row.name: row for row in CARRIERS}

#: The carriers that were looked for before inputs were described with their carriers.
BEFORE_DESCRIBED: Final = ("cri|docker_compose|syslog_5424|syslog|docker|message",)

#: The carriers that may hold a text, by whether they are clear and whether the text begins as a JSON object.
_LEVELS: Final = {
    (is_clear, is_object): tuple(
        (row, Level((row,))) for row in CARRIERS if row.is_clear is is_clear and (is_object or row.prefix or row.open)
    )
    for is_clear in (True, False)
    for is_object in (True, False)
}


#: Carriers are looked for in about this many records.
_SAMPLED: Final = 250


class Claims(NamedTuple):
    """What formats say of a text.

    Attributes:
        is_own: Whether it is in a format of the user, which comes before carriers.
        is_whole: Whether it is in a format that may look like a carrier's prefix with a text behind it.
        is_request: Whether it is a request by itself, so that a text within it is no record.
        is_known: Whether it is in any known format, or a payload.
        is_log: Whether it is in a format of logs or captures of requests.
        is_free: Whether it is a line in no format that can be read by its address.
    """

    is_own: Callable[[bytes], bool]
    is_whole: Callable[[bytes], bool]
    is_request: Callable[[bytes], bool]
    is_known: Callable[[bytes], bool]
    is_log: Callable[[bytes], bool]
    is_free: Callable[[bytes], bool]


def recognised(records: list[bytes], claims: Claims) -> tuple[tuple[str, ...], list[bytes]]:
    """Finds the carriers of records, and the carriers within them.

    Args:
        records: Sampled records of an input.
        claims: What formats say of a text. This shows carriers that are not clear.

    Returns:
        For each depth, from the outside in, the names of the carriers that carry at least a tenth of the records,
        joined by `|`; and what they carry, of a sample. Without carriers, a sample of the records themselves.
    """
    found: list[str] = []
    texts = records[:: -(-len(records) // _SAMPLED) or 1]
    for _ in range(MAX_DEPTH):
        opened = [_carrier_of(text, claims) for text in texts]
        votes = Counter(name for name, _ in opened if name)
        usual = [row.name for row in CARRIERS if row.name in votes and votes[row.name] * 10 >= len(texts)]
        if not usual:
            break
        found.append("|".join(usual))
        texts = [
            inner
            for text, (name, held) in zip(texts, opened, strict=True)
            for inner in (held if name in usual else [text])
        ]
    return tuple(found), texts


def _carrier_of(text: bytes, claims: Claims, depth: int = 0) -> tuple[str | None, list[bytes]]:
    """Returns the name of a text's carrier, and what it carries; None and nothing if it has none."""
    if claims.is_own(text):
        return None, []
    is_whole, is_object = claims.is_whole(text), text.lstrip()[:1] == b"{"
    for row, level in _levels_for(text, is_clear=True, is_object=is_object):
        held = _held(level, text)
        if held and (not is_whole or all(map(claims.is_whole, held))):
            return row.name, held
    if claims.is_request(text) or depth == MAX_DEPTH:
        return None, []

    def is_record(inner: bytes) -> bool:
        """Whether a text is a record, or a carrier of one."""
        if is_whole:
            return claims.is_log(inner)
        return claims.is_known(inner) or _carrier_of(inner, claims, depth + 1)[0] is not None

    for row, level in _levels_for(text, is_clear=False, is_object=is_object):
        held = _held(level, text)
        if held and all(is_record(inner) or (row.prefix is None and claims.is_free(inner)) for inner in held):
            return row.name, held
    return None, []


def _levels_for(text: bytes, *, is_clear: bool, is_object: bool) -> tuple[tuple[Carrier, Level], ...]:
    """Returns the carriers that may hold a text; those of an object, by its top-level keys."""
    value = json_object(text) if is_object else None
    return _LEVELS[is_clear, is_object] if value is None else _levels_with(is_clear, tuple(value))


@lru_cache(maxsize=256)
def _levels_with(is_clear: bool, keys: tuple[str, ...]) -> tuple[tuple[Carrier, Level], ...]:  # noqa: FBT001  a cache's key
    """Returns the carriers that may hold an object with these top-level keys."""
    return tuple((row, level) for row, level in _LEVELS[is_clear, True] if level.may_hold(keys))


def _held(level: Level, text: bytes) -> list[bytes]:
    """Returns what a text carries, decompressed; nothing if the level does not recognise it."""
    step = level.step(text)
    budget = [MAX_INFLATED]
    try:
        return [inflated(content.text or b"", budget) for content in step.contents] if step else []
    except TooMuchError:
        return []


def levels_of(names: Iterable[str]) -> tuple[tuple[Carrier, ...], ...]:
    """Returns the carriers at each depth, in the order of the table."""
    return tuple(tuple(row for row in CARRIERS if row.name in level.split("|")) for level in names)


def cutting(names: Iterable[str]) -> tuple[Carrier, ...]:
    """Returns the outermost of the named carriers that cut records; none if any of the named carries several."""
    levels = levels_of(names)
    is_several = any(row.unpack for level in levels for row in level)
    return () if is_several or not levels else tuple(row for row in levels[0] if row.pieces)


def keeps_lines(names: Iterable[str]) -> bool:
    """Whether each line that the named carriers wrote carries exactly one record."""
    return all(row.keeps_lines for level in levels_of(names) for row in level)


def container_of(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the keys that lead to the array in which the outermost of the named carriers writes its records."""
    return next((row.container for level in levels_of(names)[:1] for row in level), ())
