"""JSON records redacted all at once are what they are one at a time, whatever they hold."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import quote_plus

import polars as pl
import pytest

from etl.options import Pii
from etl.privacy.json_redaction import MIN_BATCH, redact_objects
from etl.privacy.redaction import redact_raws
from etl.privacy.redactor import Redactor
from etl.rules.ruleset import Ruleset
from tests import adversary
from tests.effort import draws

#: Names that tell something, of a person, of an item or of an address, and some that hold something or tell nothing.
NAMES = (
    *("email", "phone", "customer_email", "Last-Name", "full_name", "birthdate", "state", "zipcode", "city", "country"),
    *("ip", "X-Forwarded-For", "authorization", "items", "products", "name", "Name", "customer", "body", "query", "a"),
    *("headers", "", "é", "jo@example.com", "192.0.2.1", "a::b", "ph%6fne", "customer[email]", 'a"b', "a\\b", "\ufdd0"),
)
USUAL = NAMES[:24]

TEXTS = (
    *(
        "",
        "a",
        "-",
        "US",
        "Texas",
        "United States",
        "Tomás",
        "jo@example.com",
        "x jo%40example.com.",
        "+1 415-555-0137",
    ),
    *(
        "192.0.2.7",
        "x1.2.3.4",
        "2001:db8::1",
        "::1",
        "1:2:3:4:5:6:7:8",
        "12:30:00",
        "5/26/1991",
        "94105-1234",
        "?",
        "=",
    ),
    *("https://example.com/?email=jo%40example.com&ip=192.0.2.7", "a=1&country=US&state=Texas", "email=jo&a=b", "&"),
    *("{", "[x", " {}", "\u3000[1]", "{'a': 1}", "a\tb", "\njo@example.com", 'say "email=x"', "\\", "\x7f\u2028", "😀"),
    *("\ufdd00\ufdd0", "a" * 64, "\ud800", "%EF%B7%901%EF%B7%90", "redacted", "sha256:" + "a" * 64),
)

NUMBERS = (
    *("0", "-0", "-0.0", "1.50", "10.0", "5.00", "1e5", "1E-7", "1.7976931348623157e999", "0.1234567890123456789"),
    *("12345678901234567890123", "9007199254740993", "4155550137", "94105"),
)


class Written(str):
    """A number in a notation of its own."""


def value(chance: Random, depth: int) -> Any:
    kind = chance.randrange(12 if depth else 7)
    if kind < 6:
        return Written(chance.choice(NUMBERS)) if kind < 2 else chance.choice(TEXTS)
    if kind == 6:
        return chance.choice((None, True, False))
    if kind < 9:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind == 9:
        return form(chance)
    inner = record(chance, depth - 1)
    return inner if kind == 10 else written(chance, inner)


def form(chance: Random) -> str:
    return "&".join(f"{quote_plus(chance.choice(USUAL))}={chance.choice(TEXTS)}" for _ in range(3))


def record(chance: Random, depth: int) -> dict[str, Any]:
    return {name: value(chance, depth) for name in chance.sample(USUAL if chance.random() < 0.9 else NAMES, 5)}


def written(chance: Random, content: dict[str, Any]) -> str:
    """JSON text with blanks and escapes as chance has it, and now and then a name twice."""
    blank = chance.choice(("", "", " ", "\n\t"))
    is_ascii = chance.random() < 0.5
    joint = f"{blank},{blank}"

    def write(one: Any) -> str:
        if isinstance(one, dict):
            members = [f"{write(name)}{blank}:{blank}{write(member)}" for name, member in one.items()]
            return "{" + blank + joint.join(members + members[: chance.random() < 0.02]) + blank + "}"
        if isinstance(one, list):
            return "[" + joint.join(map(write, one)) + blank + "]"
        is_escaped = is_ascii or (isinstance(one, str) and "\ud800" in one)
        return str(one) if isinstance(one, Written) else json.dumps(one, ensure_ascii=is_escaped)

    return write(content)


def check(texts: list[str], ruleset: Ruleset, pii: Pii = "hash") -> None:
    redactor = Redactor(ruleset, pii)
    expected = redactor.fill([redactor.template(text) for text in texts])
    for text, ours, theirs in zip(texts, redact_raws(pl.Series("raw", texts), pii, ruleset), expected, strict=True):
        assert ours == theirs, text


@pytest.mark.parametrize("seed", range(draws(3, 24)))
def test_records_of_any_kind(seed: int) -> None:
    chance = Random(seed)
    texts = [written(chance, record(chance, 3)) for _ in range(300)]
    numbers, _ = redact_objects(pl.Series(texts), Redactor(Ruleset(), "drop"), "drop")
    assert len(numbers) > 150
    check(texts, Ruleset(), "drop" if seed % 4 == 0 else "hash")


@pytest.mark.parametrize("seed", range(draws(2, 12)))
def test_damaged_records(seed: int) -> None:
    chance = Random(seed)
    texts = []
    for _ in range(300):
        text = written(chance, record(chance, 2))
        for _ in range(chance.choice((1, 1, 2))):
            at = chance.randrange(len(text))
            mark = chance.choice(
                (*'"\\{}[],:0-.e \t=?&@%', "", '""', "1 2", "null", "\\u0040", "\\ufdd0", "email=a", "é")
            )
            text = text[:at] + mark + text[at + chance.choice((0, 0, 1, 2)) :]
        texts.append(text)
    check(texts, Ruleset())


@pytest.mark.parametrize("seed", range(draws(2, 8)))
def test_what_the_adversary_sends(seed: int) -> None:
    check(adversary.json_lines(seed, 300).decode("utf-8", "replace").split("\n"), Ruleset())


@pytest.mark.parametrize("name", ["name", "customer"])
def test_rulesets_that_find_items_elsewhere(name: str) -> None:
    chance = Random(name)
    page = Ruleset()
    containers = page.item_containers._replace(accepted=(*page.item_containers.accepted, name))
    texts = [written(chance, record(chance, 4)) for _ in range(300)]
    check([*texts, '{"items":[{"name":{"name":"Jo"}}]}'], replace(page, item_containers=containers))


def test_a_text_within_a_text_within_a_text() -> None:
    text = '{"email":"jo@example.com","ip":"192.0.2.7","a":12.50}'
    for _ in range(4):
        text = json.dumps({"body": text, "at": "203.0.113.9"})
    raws = pl.Series([text] * MIN_BATCH)
    numbers, redacted = redact_objects(raws, Redactor(Ruleset(), "drop"), "drop")
    assert len(numbers) == MIN_BATCH
    assert "redacted" in redacted[0]
    assert "192" not in redacted[0]
    check(raws.to_list(), Ruleset())
