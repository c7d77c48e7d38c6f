"""Finds the texts that name a person: by an e-mail address, a telephone number, or a hash of either (rules 9.2).

A person is kept as digests. What looks like an address, a number or a digest is looked for in a text as it stands,
percent-decoded, without escapes and in base64. It is digested like a value of the person, by all normal forms, and the
digests are compared. So a plain value finds its hashes, and a hash finds the plain value.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple

import polars as pl

from etl.columnar.factorize import factorize
from etl.columnar.json_codec import without_surrogates
from etl.errors import UsageError
from etl.privacy.addresses import HASHED, SIGNS, decoded, percent_decoded
from etl.privacy.base64_texts import BASE64_WITHIN, decoded_base64
from etl.privacy.trait_hashes import HASH_OF, HASHES, are_usable

#: The digests that senders use, of 64, 40 and 32 hex digits.
_ALGORITHMS: Final = tuple(
    partial(algorithm, usedforsecurity=False) for algorithm in (hashlib.sha256, hashlib.sha1, hashlib.md5)
)
_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{64}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{32}")

#: What stands before and behind the sign of an address, at most so many characters.
_LOCAL: Final = re.compile(r"[^\s\"<>()\[\]{}&?=;,:/\\%@]{1,64}\Z")
_DOMAIN: Final = re.compile(r"[\w.-]{1,255}")
_LABELS: Final = re.compile(r"(?:[\w-]{1,63}\.)+(?:xn--[\w-]{1,63}|[^\W\d_]{2,63})")
_LONGEST_LOCAL: Final = 64
#: Marks that may stand around an address and are no part of it.
_AROUND: Final = ".-'’`*|!"

#: Digits with the marks that telephone numbers have, and the groups of digits in them.
_NUMBERS: Final = re.compile(r"(?<!\w)\+?\(?[0-9](?:[0-9]|[ ().+/-]{1,3}(?=[0-9]))*(?!\w)")
_GROUP: Final = re.compile(r"\+?[0-9]+")
_DIGITS: Final = range(7, 20)
_MOST_GROUPS: Final = 7

_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_BLANKS: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}

#: A text is decoded in at most so many ways, each of which may be decoded again.
_MOST_READINGS: Final = 32

#: Where base64 of a text may begin.
_BASE64_HEAD: Final = r"(?:[A-Za-f][A-Za-z0-9+/]{3}){4}"
_BASE64: Final = re.compile(rf"(?<![A-Za-z0-9+/]){_BASE64_HEAD}")

#: What may stand between the digits of a number, which may be encoded.
_BETWEEN: Final = r"(?:[^0-9A-Za-z]|%[0-9A-Fa-f]{2}|0){0,6}"


class Person(NamedTuple):
    """A person.

    Attributes:
        digests: Digests, in lower-case hex, of the normal forms of the person's addresses and numbers.
        numbers: The normal forms of telephone numbers that were given as such.
        has_hash: A hash was given, of which nobody knows whether it is that of an address or of a number.
    """

    digests: frozenset[str]
    numbers: frozenset[str] = frozenset()
    has_hash: bool = False

    @property
    def hint(self) -> str:
        """A pattern, without which a text does not name the person, unless it holds an address or a digest."""
        numbers = [_BETWEEN.join(number) for number in sorted(self.numbers)]
        every = [_BETWEEN.join(["[0-9]"] * _DIGITS.start)] if self.has_hash else []
        return "|".join((f"(?:^|[^A-Za-z0-9+/]){_BASE64_HEAD}", *numbers, *every))


def read_person(values: Sequence[str]) -> Person:
    """Returns the person of some values: e-mail addresses, telephone numbers, and hashes of either.

    Raises:
        UsageError: A value is none of these, or there is no value; the message does not show it.

    Examples:
        >>> person = read_person(["Jo@example.com"])
        >>> len(person.digests), person.numbers, person.has_hash
        (3, frozenset(), False)
    """
    digests: set[str] = set()
    numbers: set[str] = set()
    has_hash = False
    for place, value in enumerate(values, 1):
        text = value.strip()
        bare = text.removeprefix(HASHED)
        trait = "email" if "@" in text else "phone"
        if _DIGEST.fullmatch(bare):
            digests.add(bare.lower())
            has_hash = True
        elif not _is_usable(trait, text) or not (found := _digests(trait, [text])[0]):
            raise UsageError(
                f"Value {place} of --person is no e-mail address, telephone number or hash.",
                "Give the whole address, a number of at least seven digits, or SHA-256, SHA-1 or MD5 in hex.",
            )
        else:
            digests |= found
            numbers |= {HASH_OF["phone"].normalise(pl.Series([text]))[0]} if trait == "phone" else set()
    if not digests:
        raise UsageError("No person is named.", "Give --person, or - to read the values from standard input.")
    return Person(frozenset(digests), frozenset(numbers), has_hash)


def _is_usable(trait: str, text: str) -> bool:
    """Returns whether a text is a value of a trait; a telephone number has no letters."""
    is_number = trait == "email" or not re.search(r"[A-Za-z]", text)
    return is_number and bool(are_usable(trait, pl.Series([text]))[0])


def widened(person: Person, pairs: Iterable[pl.DataFrame]) -> Person:
    """Adds the hashes of other spellings of the person's addresses and numbers.

    Addresses that Google takes for one have one `email_google_sha256` and several `email_sha256`. A hash alone says
    nothing of its other forms; a row with both does.

    Args:
        person: The person.
        pairs: Frames of two columns, each row two hashes of one value, of which one is the person's.
    """
    found = {digest for frame in pairs for row in frame.iter_rows() for digest in row if digest is not None}
    return person._replace(digests=person.digests | found)


def name_person(person: Person, texts: pl.Series) -> pl.Series:
    """Returns whether each text names a person; false for null.

    Args:
        person: The person.
        texts: String: texts as sent, hashes, or whole records.

    Examples:
        >>> person = read_person(["jo.doe@gmail.com"])
        >>> texts = ["by JoDoe+x@gmail.com", "u=%22jo.doe%40gmail.com%22", "ajo.doe@gmail.com", None]
        >>> name_person(person, pl.Series(texts)).to_list()
        [True, True, False, False]
    """
    distinct, numbers = factorize(texts)
    known = [*sorted(person.digests), *SIGNS]
    is_suspect = distinct.str.contains_any(known, ascii_case_insensitive=True) | distinct.str.contains(person.hint)
    suspects = is_suspect.arg_true().to_list()
    texts_at = distinct.gather(suspects).to_list()
    texts_of_token: dict[tuple[str, str], set[int]] = {}
    for place, text in zip(suspects, texts_at, strict=True):
        for token in _tokens(text, person):
            texts_of_token.setdefault(token, set()).add(place)
    found = texts_of_token.get(("digest", ""), set())
    for trait in ("email", "phone"):
        tokens = [token for token in texts_of_token if token[0] == trait]
        for token, digests in zip(tokens, _digests(trait, [text for _, text in tokens]), strict=True):
            if not digests.isdisjoint(person.digests):
                found |= texts_of_token[token]
    named = pl.Series([False]).new_from_index(0, len(distinct)).scatter(sorted(found), True)
    return named.gather(numbers).fill_null(False).alias(texts.name) if len(distinct) else texts.is_not_null()


def _digests(trait: str, texts: list[str]) -> list[set[str]]:
    """Returns the digests of all normal forms of each value of a trait."""
    column = pl.Series([without_surrogates(text) for text in texts], dtype=pl.String)
    forms = [row.normalise(column).to_list() for row in HASHES if row.trait == trait]
    return [
        {algorithm(form.encode()).hexdigest() for form in {*of_text} if form for algorithm in _ALGORITHMS}
        for of_text in zip(*forms, strict=True)
    ]


def _tokens(text: str, person: Person) -> Iterator[tuple[str, str]]:
    """Yields what looks like a value in a text: its trait and the value; of the person's own digests only that."""
    for reading in _readings(text):
        lowered = reading.lower()
        if any(digest in lowered for digest in person.digests):
            yield "digest", ""
            return
        if "@" in reading:
            yield from (("email", token) for token in _addresses(reading))
        if person.numbers or person.has_hash:
            yield from (("phone", token) for token in _numbers(reading))


def _readings(text: str) -> Iterator[str]:
    """Yields a text and what it becomes when it is decoded, in all ways and again."""
    known = {text}
    for reading in (queue := [text]):
        yield reading
        for other in _decoded(reading):
            if other not in known and len(known) < _MOST_READINGS:
                known.add(other)
                queue.append(other)


def _decoded(text: str) -> Iterator[str]:
    """Yields a text percent-decoded, without escapes, and the texts in base64 within it."""
    if "%" in text:
        yield percent_decoded(text)
        if "+" in text:
            yield decoded(text)
    if "\\" in text:
        yield _ESCAPE.sub(_character, text)
    for match in BASE64_WITHIN.finditer(text) if _BASE64.search(text) else ():
        held = decoded_base64(match[0].replace("\\", ""))
        if held is not None:
            yield held.text


def _character(match: re.Match[str]) -> str:
    """Returns the character of an escape."""
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _BLANKS.get(match[3], match[3])


def _addresses(text: str) -> Iterator[str]:
    """Yields what looks like an address, with and without what may be around it."""
    for before, behind in pairwise(text.split("@")):
        local, domain = _LOCAL.search(before[-_LONGEST_LOCAL:]), _DOMAIN.match(behind)
        if local and domain:
            labels = _LABELS.match(domain[0])
            hosts = {domain[0].rstrip("-."), labels[0] if labels else ""}
            yield from (f"{name}@{host}" for name in {local[0], local[0].lstrip(_AROUND)} for host in hosts)


def _numbers(text: str) -> Iterator[str]:
    """Yields what looks like a telephone number: neighbouring groups of digits, as written."""
    for match in _NUMBERS.finditer(text):
        run = match[0]
        groups = list(_GROUP.finditer(run)) if len(run) >= _DIGITS.start else []
        for first, begin in enumerate(groups):
            for end in groups[first : first + _MOST_GROUPS]:
                token = run[begin.start() : end.end()]
                if len(token) >= _DIGITS.start and sum(map(str.isdigit, token)) in _DIGITS:
                    yield token
