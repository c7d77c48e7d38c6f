"""Changes records so that most of their structure survives: what is next to right breaks more than noise does."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

#: What formats, carriers, queries and redaction look for, and what they take for the end of it.
TOKENS: Final = (
    *(b"&", b"=", b"?", b"%", b"%40", b"%25", b"%2540", b"%00", b"%C3", b"%u0041", b"+", b";", b"#", b"/", b"//"),
    *(b'"', b"'", b"\\", b'\\"', b"\\\\", b"\\x22", b"\\x", b"\\u0040", b"\\ud800", b"\\u", b"\\n", b"\t", b"\x00"),
    *(b"{", b"}", b"[", b"]", b"[]", b"{}", b"[[", b":", b",", b",,", b"null", b"true", b"NaN", b"-0", b"1e400", b"-"),
    *(b"9" * 20, b"0.1", b"1" * 400, b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x85"),
    *(b" ", b"  ", b"\r", b"\x0b", b"\x1b[31m", b"<a ", b"</a>", b"<![CDATA[", b"--", b"@", b"a@", b"@example.com"),
    *(b"email=", b"&email=", b'"email":"', b"first_name=", b"items[0][id]=", b"items[]=", b"&items=[{", b"click_id="),
    *(b"conversion_type=nope", b"value=1,5", b"/acme/collect/shop?", b"POST ", b'] "', b"https://", b"sha256:", b"| "),
    *(b'{"click_id":"a"}', b"eyJhIjoiYiJ9", b"body=", b"payload=", b"<14>1 ", b"2024-05-01T12:00:00Z ", b"data: "),
)

_MARK: Final = re.compile(rb"[^A-Za-z0-9]+")
_DIGITS: Final = re.compile(rb"[0-9]+")
#: What nothing percent-encodes letter by letter.
_ESCAPE: Final = re.compile(rb"[%\\]")
#: What servers escape in logs.
_SERVER_ESCAPED: Final = re.compile(rb'["\\\x00-\x1f\x7f-\xff]')

Mutation = Callable[[random.Random, bytes, bytes], bytes]


def _span(rng: random.Random, record: bytes, longest: int) -> tuple[int, int]:
    start = rng.randrange(len(record) + 1)
    return start, min(start + rng.randint(1, longest), len(record))


def _mark(rng: random.Random, record: bytes) -> tuple[int, int]:
    """The place of a run of punctuation: there the structure is."""
    places = [match.span() for match in _MARK.finditer(record)]
    return rng.choice(places) if places else _span(rng, record, 2)


def _flip(rng: random.Random, record: bytes, _other: bytes) -> bytes:
    start, end = _span(rng, record, 1)
    return record[:start] + bytes([rng.randrange(256)]) + record[end:]


def _insert(rng: random.Random, record: bytes, _other: bytes) -> bytes:
    start, end = rng.choice((_mark, lambda rng, record: _span(rng, record, 1)))(rng, record)
    place = rng.choice((start, end))
    return record[:place] + rng.choice(TOKENS) + record[place:]


def _replace(rng: random.Random, record: bytes, _other: bytes) -> bytes:
    start, end = _mark(rng, record)
    return record[:start] + rng.choice((b"", *TOKENS)) + record[end:]


def _drop(rng: random.Random, record: bytes, _other: bytes) -> bytes:
    start, end = _span(rng, record, rng.choice((1, 3, 30)))
    return record[:start] + record[end:]


def _again(rng: random.Random, record: bytes, _other: bytes) -> bytes:
    start, end = _span(rng, record, rng.choice((2, 10, 60)))
    return record[:end] + record[start:end] * rng.randint(1, 4) + record[end:]


def _graft(rng: random.Random, record: bytes, other: bytes) -> bytes:
    """A part of another record in the place of a part."""
    start, end = _mark(rng, record)
    first, last = _span(rng, other, 80)
    return record[:start] + other[first:last] + record[rng.choice((start, end)) :]


def _join(rng: random.Random, record: bytes, other: bytes) -> bytes:
    """The beginning of a record, and the end of another: what a torn write leaves."""
    return record[: _mark(rng, record)[0]] + other[_mark(rng, other)[1] :]


def _cut(rng: random.Random, record: bytes, _other: bytes) -> bytes:
    return record[: rng.randrange(len(record) + 1)]


def _number(rng: random.Random, record: bytes, _other: bytes) -> bytes:
    places = [match.span() for match in _DIGITS.finditer(record)]
    if not places:
        return record
    start, end = rng.choice(places)
    odd = (b"", b"0", b"-1", b"00", b"2147483648", b"9" * 19, b"9" * 40, b"1e5", b"31", b"60", b"99999999", b"\xd9\xa1")
    return record[:start] + rng.choice(odd) + record[end:]


def _encode(rng: random.Random, record: bytes, _other: bytes) -> bytes:
    start, end = _span(rng, record, 40)
    part = record[start:end]
    ways = (
        lambda: quote(part, safe="").encode(),
        lambda: quote(quote(part, safe=""), safe="").encode(),
        lambda: part if _ESCAPE.search(part) else b"".join(b"%%%02x" % byte for byte in part),
        lambda: b"".join(b"\\u%04x" % byte for byte in part),
        lambda: _SERVER_ESCAPED.sub(lambda match: b"\\x%02X" % ord(match[0]), part),
        lambda: part.replace(b"\\", b"\\\\").replace(b'"', b'\\"'),
        lambda: part.replace(b'"', b'""'),
    )
    return record[:start] + rng.choice(ways)() + record[end:]


def _case(rng: random.Random, record: bytes, _other: bytes) -> bytes:
    start, end = _span(rng, record, 12)
    return record[:start] + record[start:end].swapcase() + record[end:]


MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(_flip, _insert, _insert, _insert, _replace, _replace, _drop, _again, _graft, _join, _cut),
    *(_number, _encode, _case),
)


def mutated(rng: random.Random, record: bytes, other: bytes) -> bytes:
    """The record with one to four changes; `other` is a record whose parts may be taken."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        record = rng.choice(MUTATIONS)(rng, record, other)
    return record


def with_run(rng: random.Random, record: bytes, size: int) -> bytes:
    """The record with a long run of a short text in it, in which a search may stall."""
    start, end = rng.choice((_mark, lambda rng, record: _span(rng, record, 1)))(rng, record)
    place = rng.choice((start, end))
    unit = rng.choice(TOKENS) if rng.random() < 0.6 else rng.choice(TOKENS) + rng.choice(TOKENS)
    if rng.random() < 0.3:
        first, last = _span(rng, record, 12)
        unit = record[first:last].replace(b"\n", b"") or unit
    return record[:place] + unit * (size // len(unit) + 1) + record[place:]
