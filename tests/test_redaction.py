"""Raw records redacted all at once are what they are one at a time, whatever the bytes."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from random import Random

import polars as pl
import pytest

from etl.columnar.string_buffers import join_bytes
from etl.options import Pii
from etl.privacy.json_redaction import MIN_BATCH
from etl.privacy.log_redaction import regular_lines
from etl.privacy.redaction import redact_raws
from etl.privacy.redactor import Redactor
from etl.rules.ruleset import Ruleset
from tests import adversary
from tests.effort import draws

LINE = (
    '%s - %s [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?%s HTTP/1.1" 200 2 '
    '"https://example.com/?email=jo%%40example.com" "curl/8.5.0"'
)
QUERIES = (
    "click_id=a&email=jo%40example.com&phone=%2B1+650+555+0187&value=5",
    "email=&first_name=J%C3%B6&state=Texas&country=United+States",
    "country&country=US&state=Texas",
    "country=DE&country=US&state=Texas&last%5Fname=%ff",
    "customer[email]=x&ip=203.0.113.9&user_ip=203.0.113.9&ref=2001:db8::1",
    "click_id=jo@example.com&x=1:2:3:4:5:6:7:8&%40=%40&a=jo%40example.com.",
    "jo@example.com=1&jo@example.com.phone=555",
    "&&=&==&email==a&name&",
    "data=eyJlbWFpbCI6ICJqb0BleGFtcGxlLmNvbSJ9&x=%3Ccity%3EOslo%3C/city%3E&y=<city>Oslo</city>&%3Ccity%3EO=1",
    "v=1.2.3.4.5&w=x1.2.3.4&y=1.2.3.4-&z=1.2.3.1234&q=1.2.3.4",
    "",
)
CLIENTS = (
    "192.0.2.7",
    "2001:db8::7",
    "::ffff:192.0.2.7",
    "1:2:3:4:5:6:7:8",
    "-",
    "{",
    "[x",
    "a](b",
    "jo@example.com",
    "email=x",
)

#: What a line is changed by: marks that divide it, and what looks like an address.
MARKS = (*'"?&=:@%.[]( {\\/+-', "%40", "::", "] (", ' HTTP/1.1" 200 2', "192.0.2.1", "2001:db8::1", "jo@example.com")
MARKS += ("email=a", "é", "\t", "\ufdd00\ufdd0", "country=US&", "&phone=1")
MARKS += ("&email=%EF%b7%901%EF%B7%90", "\\ufdd0")


def one_at_a_time(raws: pl.Series, pii: Pii) -> list[str]:
    redactor = Redactor(Ruleset(), pii)
    return redactor.fill([redactor.template(raw) for raw in raws]).to_list()


def check(texts: list[str], pii: Pii = "hash") -> None:
    raws = pl.Series("raw", texts * -(-MIN_BATCH // len(texts)))
    for raw, found, expected in zip(raws, redact_raws(raws, pii, Ruleset()), one_at_a_time(raws, pii), strict=True):
        assert found == expected, raw


def is_regular(text: str) -> bool:
    buffer, ends = join_bytes(pl.Series([text]), " ")
    return bool(len(regular_lines(buffer, ends * 0, ends).numbers))


def test_most_of_these_lines_are_read_all_at_once() -> None:
    lines = [LINE % (client, "jo", query) for client in CLIENTS[:5] for query in QUERIES]
    assert [line for line in lines if not is_regular(line)] == []


@pytest.mark.parametrize("pii", ["hash", "drop"])
def test_lines_of_every_kind(pii: Pii) -> None:
    check([LINE % (client, user, query) for client in CLIENTS for user in ("-", "a b") for query in QUERIES], pii)


@pytest.mark.parametrize("seed", range(draws(3, 20)))
def test_lines_with_anything_in_them(seed: int) -> None:
    chance = Random(seed)
    texts = []
    for _ in range(300):
        text = LINE % (chance.choice(CLIENTS), "-", "&".join(chance.sample(QUERIES, 2)))
        for _ in range(chance.choice((0, 1, 1, 2, 4))):
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice(MARKS) + text[at + chance.choice((0, 0, 1, 3)) :]
        texts.append(text)
    assert sum(map(is_regular, texts)) > 60
    check(texts)


@pytest.mark.parametrize("seed", range(draws(2, 8)))
def test_what_the_adversary_invents(seed: int) -> None:
    for data in (adversary.log_lines(seed, 400), adversary.json_lines(seed, 60)):
        check(data.decode("utf-8", "replace").split("\n"))


def test_few_records_and_many_give_the_same() -> None:
    raws = pl.Series("raw", [LINE % ("192.0.2.7", "-", query) for query in QUERIES])
    many = pl.concat([raws] * MIN_BATCH)
    assert redact_raws(many, "hash", Ruleset())[: len(raws)].equals(redact_raws(raws, "hash", Ruleset()))


@pytest.mark.parametrize(
    "raw",
    [
        f'{{ "GET /?email={"x" * 20}&{"a" * 84}":db8::1 HTTP/1.1" 200 2',  # just short enough for a name, or too long
        '{ "a&email":1&email=&first_name=J%C3%B6 HTTP/1.1" 200 2',  # a value within a value
    ],
)
def test_a_record_becomes_the_same_wherever_it_stands(raw: str) -> None:
    raws = pl.Series("raw", [raw] + ["email=a"] * 20 + [raw])
    assert len(raws) < MIN_BATCH
    assert len(set(redact_raws(raws, "hash", Ruleset()))) == 2


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"email":"\\ufdd00\\ufdd0","a":"\\uFDD00\\uFDD0"}', '{"email":"redacted","a":"\ufffd0\ufffd"}'),
        (
            '{"a":"{\\"b\\":\\"\\\\ufdd00\\\\ufdd0\\",\\"email\\":1}"}',
            '{"a":"{\\"b\\":\\"\ufffd0\ufffd\\",\\"email\\":\\"redacted\\"}"}',
        ),
        ("email=%EF%B7%900%EF%B7%90&a=%EF%B7%900%EF%B7%90", "email=redacted&a=%EF%B7%900%EF%B7%90"),
        ('{"a":"\\\\ufdd0"}', '{"a":"\\\\ufdd0"}'),
    ],
)
def test_a_record_that_holds_what_stands_around_placeholders(raw: str, expected: str) -> None:
    assert redact_raws(pl.Series([raw]), "drop", Ruleset()).to_list() == [expected]


def test_a_name_says_the_same_in_a_form_whatever_was_read_before() -> None:
    """`ph%6fne` is a phone in a form, and no name that tells anything in JSON."""
    raws = pl.Series("raw", ['{"ph%6fne": "650 555 0187"}', "ph%6fne=650+555+0187"])
    for order in (raws, raws.reverse()):
        redacted = dict(zip(order, redact_raws(order, "drop", Ruleset()), strict=True))
        assert redacted[raws[1]] == "ph%6fne=redacted"
        assert re.sub(r"\s", "", redacted[raws[0]]) == '{"ph%6fne":"6505550187"}'


def test_what_a_list_holds_under_a_personal_name_is_hidden_and_an_item_keeps_its_name() -> None:
    raw = (
        '{"birthdate":["5/26/1991",["y"],null],"customer":{"phone":[{"email":"jo@example.com"},7]},'
        '"items":[{"name":"x"}]}'
    )
    (dropped,) = redact_raws(pl.Series([raw]), "drop", Ruleset())
    assert dropped == (
        '{"birthdate":["redacted",["redacted"],null],"customer":{"phone":[{"email":"redacted"},"redacted"]},'
        '"items":[{"name":"x"}]}'
    )


@pytest.mark.parametrize(
    "raw",
    [
        LINE % ("192.0.2.7", "-", "items=%5B%7B%22name%22%3A%22Desk+lamp%22%7D%5D"),
        '{"items":"[{\\"name\\":\\"Desk lamp\\"}]"}',
        '{"body":"{\\"products\\":[{\\"name\\":\\"Desk lamp\\"}]}"}',
    ],
)
def test_an_item_keeps_its_name_where_json_is_a_text(raw: str) -> None:
    personal = raw.replace("name", "email")
    for height in (1, MIN_BATCH):
        kept, hidden = redact_raws(pl.Series([raw, personal] * height), "drop", Ruleset())[:2]
        assert "lamp" in kept
        assert "lamp" not in hidden


def in_base64(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            f'{{"isBase64Encoded":true,"body":"{in_base64("click_id=a&email=jo%40example.com")}"}}',
            f'{{"isBase64Encoded":true,"body":"{in_base64("click_id=a&email=redacted")}"}}',
        ),
        (
            f'{{"data":"{in_base64(json.dumps({"a": "by jo@example.com"}))}"}}',
            '{"data":"eyJhIjoiYnkgcmVkYWN0ZWQifQ=="}',
        ),
        ('{"data":"H4sIAAAAAAAAA0vMywMA"}', '{"data":"redacted"}'),
        ('{"id":"3f2504e04f8941d39a0c0305e82c3301"}', '{"id":"3f2504e04f8941d39a0c0305e82c3301"}'),
        (
            'web-1 | {"order":{"phone":["650 555 0187"],"note":"x"}}',
            'web-1 | {"order":{"phone":["redacted"],"note":"x"}}',
        ),
        ('{"a":"\\\\u006a\\\\u006f\\\\u0040example.com"}', '{"a":"redacted"}'),
        ('{"note":"Phone: 650 555 0187"}', '{"note":"Phone: redacted"}'),
        ('{"<order><city>Oslo</city></order>":1}', '{"<order><city>redacted</city></order>":1}'),
        (
            '{"uri":"/x?click_id=a&%7B%22city%22%3A%22Oslo%22=1"}',
            '{"uri":"/x?click_id=a&%7B%22city%22%3A%22redacted%22=1"}',
        ),
    ],
)
def test_what_is_personal_is_found_within_what_it_is_packed_in(raw: str, expected: str) -> None:
    assert redact_raws(pl.Series([raw]), "drop", Ruleset()).to_list() == [expected]
    assert redact_raws(pl.Series([raw] * MIN_BATCH), "drop", Ruleset()).to_list() == [expected] * MIN_BATCH


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"time":1714564800,"log":"city: Oslo\\nid 1234567', '{"time":#,"log":"city: #\\nid #'),
        ('{"time":1714564800,"log":"city: Oslo\\nid 1234567"}', '{"time":1714564800,"log":"city: #\\nid #"}'),
        ("{'phones': ['650 555 0187', '650 555 0188'], 'id': 7}", "{'phones': [#], 'id': 7}"),
        ('{\\\\\\"city\\\\\\": \\\\\\"Oslo\\\\\\"', '{\\\\\\"city\\\\\\": \\\\\\"#\\\\\\"'),
        ('form-data; name="city"\r\n\r\nOslo\r\n--x', 'form-data; name="city"\r\n\r\n#\r\n--x'),
        ('"clientIP":"-","q":"city: Oslo\\nstate: Ohio\\n\\n-"', '"clientIP":"-","q":"city: #\\nstate: #\\n\\n-"'),
        ("thanks to jo@exa", "thanks to #"),
    ],
)
def test_what_a_record_that_was_not_read_becomes(raw: str, expected: str) -> None:
    (hashed,) = redact_raws(pl.Series([raw]), "hash", Ruleset(), is_unread=pl.Series([True]))
    assert re.sub("sha256:[0-9a-f]{64}|redacted", "#", hashed) == expected


def test_the_deepest_json_is_redacted() -> None:
    raw = '{"email":' * 250 + '["jo@example.com"' + "]}" + "}" * 249
    for pii in ("hash", "drop"):
        (redacted,) = redact_raws(pl.Series([raw]), pii, Ruleset())
        assert "example" not in redacted
    deepest = '{"a":' * 499 + "[1]" + "}" * 499
    assert redact_raws(pl.Series([deepest]), "hash", Ruleset())[0] == deepest
