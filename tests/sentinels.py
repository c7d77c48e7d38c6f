"""Records with personal texts in every place of every format and carrier, and what finds these texts in any output.

The records are made of the samples of the registry and of the carriers, so that a new row is covered by itself. Each
personal text has the number of its record in it: a leak names the record.
"""

from __future__ import annotations

import csv
import io
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from itertools import cycle, groupby, islice
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import polars as pl

from etl.columnar.delimited_rows import DELIMITERS
from etl.privacy.personal_names import PERSONAL_NAMES
from etl.rules import page
from etl.sources.carriers.carrier import Carrier
from etl.sources.carriers.known_carriers import CARRIERS
from etl.sources.format import Format
from etl.sources.formats.registry import FORMATS
from tests.carried import wrap
from tests.records import copied

BIRTHDATE: Final = "1987-03-14"

#: The personal texts of record `{0}`, by trait.
PERSON: Final = {
    "email": "wxv{0:05}.zq@example.com",
    "phone": "+1 650 550 {0:05}",
    "first_name": "Zqwxfi{0:05}",
    "last_name": "Zqwxla{0:05}",
    "full_name": "Zqwxfu{0:05} Zqwxfv{0:05}",
    "city": "Zqwxci{0:05}",
    "state": "Zqwxsa{0:05}",
    "zipcode": "Zqwxzi{0:05}",
    "birthdate": BIRTHDATE,
    "street": "Zqwxst{0:05}",
    "client": "Zqwxcl{0:05}",
}

#: What is left of a personal text, in lower case; the group is the number of its record.
_LEFT: Final = re.compile(
    rb"(?:wxv|zqwx(?:fi|la|fu|fv|ci|sa|zi|st|cl))([0-9]{5})|1[ +.()-]{0,3}650[ +.()-]{0,3}550[ +.()-]{0,3}([0-9]{5})|"
    + BIRTHDATE.encode()
)
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_ESCAPE: Final = re.compile(rb"\\+u([0-9a-fA-F]{4})|\\+x([0-9a-fA-F]{2})|%(?:25)*([0-9a-fA-F]{2})|&#([0-9]{2,3});")

#: Formats whose records need no other records before them.
LINED: Final = tuple(row for row in FORMATS if row.samples and row.family not in ("w3c", "table", "copy"))

#: So many carriers are in one input: each carries the tenth of its records that shows a carrier.
_TOGETHER: Final = 9

#: The names of each trait's parameters.
NAMES: Final = {field.name: field.accepted for field in page.EXACT_FIELDS if field.name in page.PERSONAL_TRAITS}


def left_in(data: bytes, depth: int = 3) -> set[bytes]:
    """The personal texts that bytes hold, as they are or encoded in any way and up to some times."""
    found = {match[0] for match in _LEFT.finditer(data.lower())}
    if depth:
        plain = _ESCAPE.sub(_decoded_byte, data)
        if plain != data:
            found |= left_in(plain, depth - 1)
        for token in set(_BASE64.findall(data)):
            found |= left_in(_decoded_base64(token), depth - 1)
    return found


def _decoded_byte(escape: re.Match[bytes]) -> bytes:
    number = int(escape[4]) if escape[4] else int(next(filter(None, escape.groups())), 16)
    return chr(number).encode("utf-8", "replace") if number > 0xFF else bytes((number,))


def _decoded_base64(token: bytes) -> bytes:
    whole = token[: len(token) // 4 * 4 + (len(token) % 4 > 1) * (len(token) % 4)]
    return b64decode(whole.replace(b"-", b"+").replace(b"_", b"/") + b"=" * (-len(whole) % 4))


# --- how a text is spelled --------------------------------------------------------------------------------------


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def _unicode_escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


#: Spellings in a form or a query; nothing needs to be encoded after them.
IN_FORM: Final[tuple[Callable[[str], str], ...]] = (
    lambda text: text.replace(" ", "+"),
    lambda text: quote(text, safe=""),
    lambda text: quote(quote(text, safe=""), safe=""),
    _escaped,
    lambda text: quote(_escaped(text), safe=""),
    lambda text: quote(json.dumps({"note": f"by\n{text}"}), safe=""),
    lambda text: quote(f'{{"note":"{_unicode_escaped(text)}"}}', safe=""),
    lambda text: quote(f"https://example.com/?a={quote(text, safe='')}&b=1", safe=""),
    lambda text: quote(_unicode_escaped(text), safe=""),
)

#: Spellings in a JSON string, without its quotes and as in the outermost JSON.
IN_JSON: Final[tuple[Callable[[str], str], ...]] = (
    str,
    lambda text: text.replace("@", "\\u0040"),
    _unicode_escaped,
    lambda text: f"Buyer:\\n{text}",
    lambda text: quote(text, safe=""),
    lambda text: quote(quote(text, safe=""), safe=""),
    lambda text: f"a=1&note={quote(text, safe='')}",
    lambda text: json.dumps(json.dumps({"note": f"by\n{text}"}))[1:-1],
    lambda text: json.dumps(json.dumps({"note": json.dumps([text])}))[1:-1],
    lambda text: f'{{\\"note\\":\\"{_unicode_escaped(text)}'.replace("\\u", "\\\\u") + '\\"}',
    lambda text: f"https://example.com/{text}?a={quote(text, safe='')}",
)


class Record(NamedTuple):
    """A record with personal texts, and what was done to the sample that it is made of."""

    text: bytes
    what: str


# --- where it stands --------------------------------------------------------------------------------------------

#: A click id in a query, and a member `click_id` at any depth of quotes.
_IN_QUERY: Final = re.compile(rb"click_id=a")
_IN_OBJECT: Final = re.compile(rb'(?P<quote>\\*"{1,2})click_id(?P=quote)(?P<colon>: ?)(?P=quote)a(?P=quote)')

#: A word of a sample: a name, a value, or a part of one.
_WORD: Final = re.compile(rb"[A-Za-z0-9_][\w.:/+ %-]*")

#: Parameters in which an address is the sender's own text.
_TEXTS: Final = ("ref_id", "transaction_id", "brand", "currency", "timestamp", "xat_mail", "value", "clickid2", "ref")


def other_of(number: int) -> tuple[str, str]:
    """A personal name that the page does not know, in turn, and its text."""
    row = PERSONAL_NAMES[number % len(PERSONAL_NAMES)]
    return row.name, PERSON[row.trait].format(number)


def form_of(number: int, spell: Callable[[str], str], *extra: str) -> str:
    """A form with personal texts in every parameter that may hold one."""
    name, text = other_of(number)
    held = quote(quote(f"https://example.com/?b=1&{name}={quote(text)}", safe=""), safe="")
    others = f"{name}={spell(text)}&order[{name}][x]={spell(text)}&u={held}&w={quote(json.dumps({name: {'x': text}}))}"
    address = spell(PERSON["email"].format(number))
    turn = number % 7
    traits = (f"{names[turn % len(names)]}={spell(PERSON[trait].format(number))}" for trait, names in NAMES.items())
    texts = (f"{name}={address}" for name in _TEXTS)
    own = (f"items[0][name]={address}", f"items[0][id]={address}", f"items[0][{address}]=1", f"{address}={address}")
    return "&".join((*extra, *traits, *texts, *own, f"xat_{address}={address}", f"customer[email]={address}", others))


def object_of(number: int, spell: Callable[[str], str], extra: dict[str, str], quotes: str = '"') -> str:
    """The members of a JSON object with personal texts in every value and name."""
    address = spell(PERSON["email"].format(number))
    turn = number % 7
    members: dict[str, str] = dict(extra)
    members |= {names[turn % len(names)]: spell(PERSON[trait].format(number)) for trait, names in NAMES.items()}
    members |= dict.fromkeys(_TEXTS, address)
    members |= {f"xat_{address}": address, address: address, "note": address, "payload": address}
    text = ",".join(f'"{name}":"{value}"' for name, value in members.items())
    text += f',"customer":{{"email":"{address}","phone":["{spell(PERSON["phone"].format(number))}"]}}'
    name, other = other_of(number)
    held = quote(quote(f"https://example.com/?{name}={quote(other)}", safe=""), safe="")
    text += f',"order":{{"{name}":{{"x":["{spell(other)}"],"country":"US"}},"u":"{held}"}}'
    text += f',"items":[{{"id":"{address}","name":"{address}"}}]'
    if quotes == '""':
        return text.replace('"', '""')
    depth = len(quotes) // 2  # each level of JSON text escapes again
    for _ in range(depth):
        text = json.dumps(text)[1:-1]
    return text


def broken_texts(number: int) -> tuple[str, ...]:
    """Texts that are neither JSON nor a form, with what personal names announce, and with addresses anywhere."""
    person = {trait: text.format(number) for trait, text in PERSON.items()}
    address = person["email"]
    named = [(names[number % 7 % len(names)], person[trait]) for trait, names in NAMES.items()]
    xml = "".join(f'<{name} lang="en">{text}</{name}>' for name, text in named)
    parts = "".join(f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in named)
    name, other = other_of(number)
    xml += f"<{name}><x>{other}</x><y/><x>{other}</x></{name}>"
    sent: dict[str, Any] = dict(named) | {name: {"x": other, "z": [other]}} | {"note": f"by {address}", address: 1}
    php = "".join(f's:{len(name)}:"{name}";s:{len(text)}:"{text}";' for name, text in named)
    return (
        f'<?xml version="1.0"?><order id="{address}">{xml}<note>by {address}</note></order>',
        f'{parts}--xyz\r\nContent-Disposition: form-data; name="note"\r\n\r\nby {address}\r\n--xyz--\r\n',
        repr(sent),
        repr({"order": {"customer": sent}, "phones": [person["phone"]]}),
        json.dumps(sent)[:-1],
        json.dumps({"order": sent}, indent=1)[:-3],
        json.dumps(sent).replace("@", "\\u0040")[:-1],
        json.dumps(sent).replace(address, _unicode_escaped(address))[:-1],
        json.dumps({"a": json.dumps(sent)})[:-1],
        json.dumps({"a": json.dumps(sent).replace("@", "\\u0040")})[:-1],
        json.dumps({"a": 1, "data": _base64(json.dumps(sent))})[:-1],
        json.dumps({"a": 1, "data": _base64("&".join(f"{name}={quote(text)}" for name, text in named))})[:-1],
        f"a:{len(named)}:{{{php}}}",
        "\n".join(f"{name}: {text}" for name, text in named),
        "; ".join(f"{name}={text}" for name, text in named),
        f"{{{', '.join(f'{name}: {text}' for name, text in named)}}}",
        f"Array\n(\n{''.join(f'    [{name}] => {text}{chr(10)}' for name, text in named)})",
        f"payload={quote(json.dumps(sent)[:-1])}",
        f"thanks to {address} and {quote(address)} and {quote(quote(address))}",
    )


def _torn(text: bytes, number: int) -> bytes:
    """A record that breaks off within a trait's value; of JSON and of access logs also within and behind an address."""
    is_closed = text.startswith(b"{") or b'] "GET' in text
    ends = [
        match.end()
        for match in re.finditer(rb"Zqwx|wxv[0-9]{5}\.zq@(?:ex|example\.com)" if is_closed else rb"Zqwx", text)
    ]
    return text[: ends[number % len(ends)]] if ends else b""


class Corpus:
    """Files with personal texts, and what each of their records is.

    Attributes:
        effort: How many of the spellings and texts each place gets: 1 is a few, 20 is all.
        made: What each record is, by its number.
    """

    def __init__(self, effort: int) -> None:
        self.effort = effort
        self.made: list[str] = []
        self._turns = {id(texts): cycle(texts) for texts in (IN_FORM, IN_JSON)}

    def told(self, left: set[bytes]) -> list[str]:
        """What left a personal text: the record, and the text."""
        numbers = {text: re.search(rb"[0-9]{5}$", text) for text in left}
        return sorted(f"{text!r} of {self.made[int(at[0])] if at else '?'}" for text, at in numbers.items())

    def _number(self, what: str) -> int:
        self.made.append(what)
        return len(self.made) - 1

    def _spellings(self, known: tuple[Callable[[str], str], ...], times: int) -> Iterator[Callable[[str], str]]:
        return islice(self._turns[id(known)], min(self.effort * times, len(known) * 2))

    def of_format(self, row: Format) -> list[bytes]:
        """The records in a format: its samples, then what is made of them."""
        return [*row.samples, *(text for sample in row.samples for text in self.records(row.name, sample))]

    def records(self, name: str, sample: bytes) -> Iterator[bytes]:
        """The records that are made of a sample: whole, refused, repeated, torn, with broken bodies, changed words."""
        whole = list(self._filled(name, sample))
        yield from whole
        for text in whole[:: 4 if self.effort == 1 else 1]:
            number = self._number(f"{name}: torn")
            renumbered = re.sub(rb"(wxv|Zqwx..|550.{0,5}?)[0-9]{5}", rb"\g<1>%05d" % number, text)
            yield _torn(renumbered, number)
        yield from self._changed(name, sample)

    def _filled(self, name: str, sample: bytes) -> Iterator[bytes]:
        """The sample with personal texts in its query, its object, its body."""
        if _IN_QUERY.search(sample):
            for extra in (("click_id=b", "conversion_type=nope"), ("click_id=b", "transaction_id=t"), ()):
                for spell in self._spellings(IN_FORM, 2):
                    number = self._number(f"{name}: query {extra}, spelling {IN_FORM.index(spell)}")
                    user = f" - {PERSON['client'].format(number)} [".encode()
                    yield _IN_QUERY.sub(
                        form_of(number, spell, *extra).encode(), sample.replace(b" - - [", user), count=1
                    )
        held = _IN_OBJECT.search(sample)
        if held:
            quotes = held["quote"].decode()
            for given in ({"click_id": "b", "conversion_type": "nope"}, {"click_id": "b", "transaction_id": "t"}, {}):
                for spell in self._spellings(IN_JSON, 2):
                    number = self._number(f"{name}: object {given}, spelling {IN_JSON.index(spell)}")
                    members = object_of(number, spell, given, quotes).encode()
                    yield sample[: held.start()] + members + sample[held.end() :]
        yield from self._broken(name, sample)
        yield from self._in_base64(name, sample)

    def _broken(self, name: str, sample: bytes) -> Iterator[bytes]:
        """The sample with a broken text as its body."""
        for at, write in self._bodies(sample):
            count = len(broken_texts(0))
            for turn in range(min(count, 3 * self.effort)):
                number = self._number(f"{name}: body")
                which = (number if self.effort == 1 else turn) % count
                self.made[-1] += f" {which}"
                yield sample[: at[0]] + write(broken_texts(number)[which]) + sample[at[1] :]

    def _in_base64(self, name: str, sample: bytes) -> Iterator[bytes]:
        """The sample with personal texts in what it holds in base64, or may hold so."""
        for token in _BASE64.finditer(sample):
            plain = _decoded_base64(token[0])
            for text in self._filled(f"{name} base64", plain) if b"click_id" in plain else ():
                yield sample.replace(token[0].rstrip(b"="), b64encode(text).rstrip(b"="))
        if b'"isBase64Encoded":false' in sample:
            for body in (b"click_id=a", b'{"click_id":"a"}', b'{"a":"{\\"click_id\\":\\"a\\"}"}'):
                for text in self._filled(f"{name} isBase64Encoded", body):
                    marked = sample.replace(b'"isBase64Encoded":false', b'"isBase64Encoded":true')
                    marked = re.sub(rb',?"body":"(?:[^"\\]|\\.)*"', b"", marked)
                    yield marked.removesuffix(b"}") + b',"body":"' + b64encode(text) + b'"}'

    def _bodies(self, sample: bytes) -> Iterator[tuple[tuple[int, int], Callable[[str], bytes]]]:
        """The places of bodies that are texts, and how a text is written there."""
        for match in re.finditer(rb'"((?:[^"\\]|\\.)*click_id(?:[^"\\]|\\.)*|value=1|hi|\{\\"value\\":1\})"', sample):
            yield match.span(1), lambda text: json.dumps(text)[1:-1].encode()

    def _changed(self, name: str, sample: bytes) -> Iterator[bytes]:
        """The sample with an address in the place of each of its words, and behind it."""
        refused = _IN_QUERY.sub(b"click_id=a&conversion_type=nope", sample)
        refused = _IN_OBJECT.sub(rb"\g<0>,\g<quote>conversion_type\g<quote>:\g<quote>nope\g<quote>", refused)
        for place, word in enumerate(_WORD.finditer(refused)):
            for spell in islice(cycle(IN_FORM[:5]), place % 5, place % 5 + min(self.effort, 5)):
                number = self._number(f"{name}: word {place} {word[0]!r}, spelling {IN_FORM.index(spell)}")
                text = spell(PERSON["email"].format(number)).encode()
                yield refused[: word.start()] + text + refused[word.end() :]
                yield refused[: word.end()] + b" " * (number % 2) + text + refused[word.end() :]

    def of_carrier(self, carrier: Carrier) -> list[bytes]:
        """The records of a carrier: its samples, then those that carry a log line, a JSON line or a broken text."""
        line = FORMATS[0].samples[0] if carrier.name != "fluentd" else b'{"click_id":"a"}'
        texts = [*self._filled(carrier.name, line), *self._filled(carrier.name, b'{"click_id":"a"}')]
        number = self._number(f"{carrier.name}: broken")
        texts += [text.encode() for text in broken_texts(number)]
        records = [sample for sample, _ in carrier.samples]
        for i, (sample, _) in enumerate(carrier.samples):
            wrapped = [wrap(carrier, text, i).replace(b"\n", b" ") for text in texts]
            records += wrapped
            records += [_torn(text, turn) for turn, text in enumerate(wrapped)]
            records += self._changed(carrier.name, sample)
        return [record for record in records if record]

    def tables(self) -> Iterator[tuple[str, bytes]]:
        """Names and bytes of inputs whose records need a header: tables, dumps of Postgres, W3C logs, Parquet."""
        payloads = [text.decode() for text in self._filled("payloads", b'{"click_id":"a"}')] * 2
        payloads += broken_texts(self._number("payload: broken"))
        columns = ["click_id", "conversion_type", "ref_id", "xat_mail", *(names[0] for names in NAMES.values())]
        number = self._number("a column named by an address")
        columns.append(PERSON["email"].format(number))
        cells = [self._cells(columns, turn) for turn in range(8 * self.effort)]
        for row in FORMATS:
            if row.name in DELIMITERS:
                yield f"{row.name}_columns.in", _csv(DELIMITERS[row.name], [columns, *cells])
                if self.effort == 1 and row.name != "csv":
                    continue
                held = [[str(i), "2024-05-01 12:00:00", text] for i, text in enumerate(payloads)]
                yield f"{row.name}_payloads.in", _csv(DELIMITERS[row.name], [["id", "created_at", "payload"], *held])
            elif row.family == "copy":
                lines = [f"{i}\t2024-05-01 12:00:00\t{copied(text)}" for i, text in enumerate(payloads)]
                yield f"{row.name}.in", joined([*row.samples, *(line.encode() for line in lines), b"\\."])
            elif row.family == "w3c":
                yield f"{row.name}.in", joined([row.samples[0], *self._w3c(row.samples[0])])
            elif row.family == "parquet":
                out = io.BytesIO()
                pl.DataFrame({"id": range(len(payloads)), "payload": payloads}).write_parquet(out)
                yield f"{row.name}.in", out.getvalue()

    def _cells(self, columns: list[str], turn: int) -> list[str]:
        """A row of a table, whose cells hold what their columns name, and every second row an unknown type."""
        number = self._number("a row of a table")
        known = {names[0]: PERSON[trait].format(number) for trait, names in NAMES.items()}
        known |= {"click_id": "a", "conversion_type": "nope" if turn % 2 else "sale"}
        return [known.get(name, IN_FORM[turn % 5](PERSON["email"].format(number))) for name in columns]

    def _w3c(self, header: bytes) -> Iterator[bytes]:
        """Rows of a W3C log: personal texts in the query, and in turn in the place of each field."""
        delimiter = b"\t" if b"x-edge" in header else b" "
        names = header.decode().split()[1:]
        for turn in range(2 * len(names)):
            number = self._number(f"W3C log: field {names[turn // 2]}")
            address = IN_FORM[turn % 5](PERSON["email"].format(number))
            query = form_of(number, IN_FORM[turn % len(IN_FORM)], "click_id=a", "conversion_type=nope")
            known = {"date": "2024-05-01", "time": "12:00:00", "cs-method": "GET", "cs-uri-stem": "/acme/collect/shop"}
            known |= {"c-ip": "192.0.2.7", "sc-status": "200", "cs-uri-query": query} | {names[turn // 2]: address}
            yield delimiter.join(known.get(name, "-").encode() for name in names)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Names and bytes of inputs, one a format and one a carrier."""
        for row in LINED:
            yield f"{row.name}.in", joined(self.of_format(row))
        for carrier in CARRIERS:
            if carrier.samples:
                yield f"carrier_{carrier.name}.in", joined(self.of_carrier(carrier))
        yield from self.tables()

    def groups(self, share: int) -> Iterator[tuple[str, bytes]]:
        """Names and bytes of few inputs, which hold one of so many of the records of each format and carrier."""
        carriers = [carrier for carrier in CARRIERS if carrier.samples]
        held = [(f"carriers_{i // _TOGETHER}", self.of_carrier(carrier)) for i, carrier in enumerate(carriers)]
        held += [(row.family, self.of_format(row)) for row in sorted(LINED, key=lambda row: row.family)]
        for name, lists in groupby(held, key=lambda one: one[0]):
            some = [text for i, (_, texts) in enumerate(lists) for text in texts[:2] + texts[2 + i % share :: share]]
            yield f"{name}.in", joined(some)
        yield from self.tables()


def joined(records: list[bytes]) -> bytes:
    """An input of records."""
    return b"\n".join(records) + b"\n"


def _csv(delimiter: str, rows: list[list[str]]) -> bytes:
    """A table as text."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()
