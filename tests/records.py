"""Records that several tests read: a line of a log, hostile text, hard queries, and records of a person."""

from __future__ import annotations

import json
from urllib.parse import quote_plus, unquote_to_bytes

LINE = '192.0.2.1 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?{} HTTP/1.1" 200 2 "-" "test"\n'

_NUMBERED = (
    '192.0.2.7 - - [01/May/2024:12:{0:02}:{1:02} +0000] "GET /acme/collect/shop?click_id=c{2:06} HTTP/1.1" 200 2 "-" '
    '"Mozilla/5.0"\n'
)


def log(first: int, end: int) -> bytes:
    """Lines of a log with conversions, by whose number their click ids and times differ."""
    return "".join(_NUMBERED.format(i // 60 % 60, i % 60, i) for i in range(first, end)).encode()


#: What a terminal would obey, and what `rich` would read as markup.
HOSTILE = "[red]\x1b[31mx\x1b]0;t\x07\u202e\x9b2J[/red][link=file:///]"


# --- queries that are hard to log -------------------------------------------------------------------------------

HARD: dict[str, bytes] = {
    "plain": b"click_id=a&value=1",
    "a quote": b'click_id=a"b',
    "an escaped quote": b"click_id=a%22b",
    "a backslash": b"click_id=a\\b",
    "two backslashes": b"click_id=a\\\\b",
    "a backslash before a quote": b'click_id=a\\"b',
    "what looks like nginx's escape": b"click_id=a\\x22b",
    "what looks like JSON's escape": b"click_id=a\\u0041b",
    "a backslash at the end": b"click_id=a\\",
    "a control byte": b"click_id=a\x01b",
    "a tab": b"click_id=a\tb",
    "DEL": b"click_id=a\x7fb",
    "raw UTF-8": "click_id=é".encode(),
    "raw UTF-8 beyond the plane": "click_id=😀".encode(),
    "percent UTF-8": b"click_id=%C3%A9",
    "raw Latin-1": b"click_id=caf\xe9",
    "half a letter escaped, half raw": b"click_id=%C3\xa9",
    "half a letter raw, half escaped": b"click_id=\xc3%A9",
    "percent Latin-1": b"click_id=caf%E9",
    "double encoding": b"click_id=a%2520b&x=%25C3%25A9",
    "a raw space": b"click_id=a b&value=2",
    "plus and percent": b"click_id=a+b%2Bc%20d",
    "a bad percent": b"click_id=100%&x=%zz&y=%4",
    "a name twice": b"click_id=a&x=1&click_id=b",
    "no value, no name": b"a&b=&=c&&d==e",
    "braces and bars": b"click_id={id}|<x>[y]^`",
    "an IPv6 literal": b"click_id=a&u=http://[2001:db8::1]:80/",
    "a question mark": b"click_id=a?b?",
    "a hash": b"click_id=a#b",
    "a semicolon": b"click_id=a;b=c",
    "JSON in a value": b'click_id=a&items=[{"id":"1","name":"a\\"b"}]',
    "an encoded ampersand and equals": b"click_id=a%26b%3Dc",
    "a NUL, percent": b"click_id=a%00b",
    "HTML": b"click_id=a&amp;value=1&curren=x",
}


def decoded(query: bytes) -> list[tuple[str, str]]:
    """The public parser, the slow way."""
    pieces = [piece.partition(b"=") for piece in query.split(b"&") if piece]
    return [
        (
            unquote_to_bytes(name.replace(b"+", b" ")).decode("utf-8", "replace"),
            unquote_to_bytes(value.replace(b"+", b" ")).decode("utf-8", "replace"),
        )
        for name, _, value in pieces
    ]


def copied(text: str) -> str:
    """The text as PostgreSQL's COPY writes it."""
    for char, code in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(char, code)
    return text


# --- a person's records ------------------------------------------------------------------------------------------

EMAIL, PHONE, NAME, CITY = "zq.wxv@example.com", "+1 650 555 0187", "Zqwxvina Qxwzson", "Zxqwville"
ADDRESS, ADDRESS_6 = "203.0.113.77", "2001:db8:77::9"
PERSON = f"email={quote_plus(EMAIL)}&phone={quote_plus(PHONE)}&full_name={quote_plus(NAME)}&city={CITY}"
HIDDEN = (
    EMAIL,
    quote_plus(EMAIL),
    PHONE,
    quote_plus(PHONE),
    "6505550187",
    "Zqwxvina",
    "Qxwzson",
    CITY,
    ADDRESS,
    ADDRESS_6,
)

LOG = f'{ADDRESS} - - [01/May/2024:12:00:00 +0000] "%s" 200 2 "-" "agent" "{ADDRESS}, {ADDRESS_6}"'
PAYLOAD = {"email": EMAIL, "phone": PHONE, "full_name": NAME, "city": CITY}

#: What becomes a conversion, or a rejection of every kind with its whole raw record.
RECORDS = {
    "a conversion": LOG % f"GET /a/collect/b?click_id=1&{PERSON} HTTP/1.1",
    "an e-mail address as match key": LOG % f"GET /a/collect/b?{PERSON} HTTP/1.1",
    "an unknown type": LOG % f"GET /a/collect/b?conversion_type=x&{PERSON} HTTP/1.1",
    "a percent-encoded name": LOG % f"GET /a/collect/b?conversion_type=x&%65mail={quote_plus(EMAIL)} HTTP/1.1",
    "raw blanks and quotes": LOG % f'GET /a/collect/b?conversion_type=x&name=Zqwxvina "x" Qxwzson&city={CITY} HTTP/1.1',
    "escaped quotes": LOG % f'GET /a/collect/b?conversion_type=x&name=Zqwxvina \\"x\\" Qxwzson&city={CITY} HTTP/1.1',
    "near misses": LOG % f"GET /a/collect/b?firstname=Zqwxvina&Phone={quote_plus(PHONE)}&value=1 HTTP/1.1",
    "an alias conflict": LOG % f"GET /a/collect/b?click_id=1&{PERSON}&email=a%40b.example&fullName=Zqwxvina HTTP/1.1",
    "a referer": (LOG % "GET /a/collect/b?value=1 HTTP/1.1").replace('"-"', f'"https://example.com/?{PERSON}"', 1),
    "a cut-off line": (LOG % f"GET /a/collect/b?click_id=1&{PERSON} HTTP/1.1").partition(" HTTP/1.1")[0],
    "a cut-off line with a raw blank": f"x GET /a/collect/b?conversion_type=x&full_name=Zqwxvina Qxwzson&city={CITY}",
    "a bare query with raw blanks": f"conversion_type=x&full_name=Zqwxvina Qxwzson&email={EMAIL} &value=1",
    "two duplicates": "\n".join([LOG % f"GET /a/collect/b?click_id=1&transaction_id=T&{PERSON} HTTP/1.1"] * 2),
    "a payload": json.dumps({**PAYLOAD, "conversion_type": "x"}),
    "an escaped payload": json.dumps({**PAYLOAD, "conversion_type": "x"}).replace("email", "\\u0065mail"),
    "a nested payload": json.dumps({"order": {"customer": {**PAYLOAD, "phone_number": PHONE}}, "value": 1}),
    "an envelope": json.dumps(
        {
            "method": "POST",
            "path": f"/a/collect/b?{PERSON}",
            "headers": {"X-Forwarded-For": ADDRESS, "Cookie": f"email={EMAIL}"},
            "client_ip": ADDRESS_6,
            "body": {**PAYLOAD, "conversion_type": "x"},
        }
    ),
    "an envelope with text": json.dumps({"method": "POST", "path": "/a/collect/b", "body": json.dumps(PAYLOAD)[:-1]}),
    "an envelope with a form": json.dumps(
        {"method": "POST", "path": "/a/collect/b", "body": f"conversion_type=x&{PERSON}"}
    ),
    "a cut-off payload": json.dumps(PAYLOAD)[:-1],
    "a payload cut off within a value": json.dumps({"click_id": "1", "name": NAME})[:-4],
}
