"""Records without personal values, one at a time, by whatever grammar they follow (rules 9.1).

Personal parameters are found by name wherever they stand: in the query of a log line, in a form, at any depth of a
JSON text, in a column of a table. Addresses of clients become `-`; whatever still looks like an e-mail address is
personal too. Text that follows no grammar (a malformed record) is searched for `name=value` and `"name": "value"`.

A record is first written with placeholders, then they are filled, so that all values of a batch are hashed at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote_plus

import polars as pl

from etl.columnar import json_codec
from etl.columnar.delimited_rows import Layout
from etl.options import Pii
from etl.privacy import trait_hashes
from etl.rules import page
from etl.rules.ruleset import Ruleset, fold

#: A personal value: the trait that it is, the text, decoded, and the person's country, which may be null.
VALUES: Final = pl.Schema({"trait": pl.String(), "text": pl.String(), "country": pl.String()})

#: What stands before the hash of a personal value, and in the place of one without.
HASHED: Final = "sha256:"
DROPPED: Final = "redacted"

#: What `Redactor.trait` says of a parameter that holds the address of a client.
ADDRESS: Final = "address"

#: Stands around the number of a value to be filled in; a noncharacter, which no text needs. All are of one length, so
#: that what is made of a record does not depend on those before it.
MARK: Final = "\ufdd0"
_PLACEHOLDER: Final = re.compile(f"{MARK}([0-9]+){MARK}")

#: A mark that a record itself holds, escaped: it becomes U+FFFD, as a raw one does.
_JSON_MARK: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\ufdd0", re.IGNORECASE)
_FORM_MARK: Final = re.compile(r"%EF%B7%90", re.IGNORECASE)

_REQUEST_LINE: Final = re.compile(
    r'(\] (?:\([^)]*\) )?")(.*?)((?: HTTP/[^ "]*)?" (?:[0-9]{3}|-) (?:[0-9]+|-)(?: .*)?)', re.DOTALL
)
#: A value goes on behind a raw blank with words that are no pairs of their own.
_PAIR: Final = re.compile(r"""([^\s?&;=,"'{}]{1,100})=((?:\\.|[^&\s"\\])*(?: +(?!HTTP/)[^&\s"=\\]+(?=[\s&"]|$))*)""")
_JSON_PAIR: Final = re.compile(r'"((?:[^"\\]|\\.){1,100})"\s*:\s*("(?:[^"\\]|\\.)*"?|[^\s",{}\[\]]+)')
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]+(?:@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_IPV4: Final = re.compile(r"(?<![\w./-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w.-])")
_IPV6: Final = re.compile(
    r"(?<![\w:./])(?=[0-9A-Fa-f:.]*::|(?:[0-9A-Fa-f]{1,4}:){7})[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z]+)?(?!\w)"
)

#: How a form begins, or a target with a query.
_SENT: Final = re.compile(r"(?:[^\s?=]*\?)?[^\s?=&]+=")

#: How JSON begins, also as a text within a JSON text.
_OPENERS: Final = ("{", "[", '"{')

#: What stands between the parts of a name that is a path: `customer[phone][0]`, `customer.phone`, `cs(Cookie)`.
_STEPS: Final = re.compile(r"[\[\]().]+[0-9]*")

#: Traits whose name tells what a longer name holds: `customer_email`, `phone2`, `billing[first_name]`.
_TELLING: Final = ("email", "phone", "first_name", "last_name", "full_name", "birthdate", "zipcode")

#: A full IPv6 address adds seven to the colons that a log line has anyway.
_COLONS_OF_A_LINE: Final = 6

_ADDRESS_NAMES: Final = frozenset(
    {"ip", "clientip", "remoteip", "remoteaddr", "ipaddress", "xforwardedfor", "xrealip", "cfconnectingip"}
    | {"trueclientip", "forwarded", "cookie", "setcookie", "authorization", "proxyauthorization"}
)


def stand_ins(values: pl.DataFrame, pii: Pii) -> pl.Series:
    """What stands in the place of personal values, in their order: their hashes, or `redacted`.

    Args:
        values: Rows of `VALUES`.
        pii: `hash`, or `drop`, which leaves no hash either.

    Examples:
        >>> values = pl.DataFrame([("city", "Oslo", None), ("birthdate", "?", None)], VALUES, orient="row")
        >>> [text[:14] for text in stand_ins(values, "hash")], stand_ins(values, "drop").to_list()
        (['sha256:8e01639', 'redacted'], ['redacted', 'redacted'])
    """
    if pii == "drop" or not values.height:
        return pl.Series([DROPPED]).new_from_index(0, values.height)
    parts = []
    for part in values.with_row_index("place").partition_by("trait"):
        hashed = trait_hashes.sha256_of(trait_hashes.HASH_OF[part["trait"][0]], part["text"], part["country"])
        parts.append(part.select("place", text=HASHED + pl.lit(hashed)))
    return pl.concat(parts).sort("place")["text"].fill_null(DROPPED)


def decoded(text: str) -> str:
    """A name or value of a form, decoded."""
    return unquote_plus(_FORM_MARK.sub("%EF%BF%BD", text) if "%" in text else text)


def _parsed(text: str) -> Any:
    return json_codec.parse((_JSON_MARK.sub(r"\1\\ufffd", text) if "\\u" in text else text).encode())


class Redactor:
    """Writes records with placeholders, remembers the values they stand for, and fills them in."""

    def __init__(self, ruleset: Ruleset, pii: Pii) -> None:
        self._pii = pii
        self.found: list[tuple[str, str, str | None]] = []
        self.traits = {
            fold(name): field.name
            for field in ruleset.exact_fields
            if field.name in page.PERSONAL_TRAITS
            for name in field.accepted
        }
        for path in ruleset.paths:
            named = path.parameter, [step for step in path.steps if isinstance(step, str)][-1]
            if fold(named[0]) in self.traits:
                self.traits.setdefault(fold(named[1]), self.traits[fold(named[0])])
        self._by_name: dict[tuple[Callable[[str], str], str], str | None] = {}
        self.containers = {fold(name) for name in ruleset.item_containers.accepted}

    def filled(self, templates: list[str]) -> pl.Series:
        """The templates with what stands for their values; once, when all of them are written."""
        values = stand_ins(pl.DataFrame(self.found, VALUES, orient="row"), self._pii).to_list()
        return pl.Series(
            [_PLACEHOLDER.sub(lambda match: values[int(match[1])], template) for template in templates], dtype=pl.String
        )

    def template(self, raw: str) -> str:
        """A record with placeholders."""
        raw = raw.replace(MARK, "\ufffd")
        if raw.lstrip().startswith(("{", "[")):
            try:
                return self.scalar(raw)
            except json_codec.JsonError:
                return self.words(raw)
        request = _REQUEST_LINE.search(raw)
        if not request:
            return self.words(raw)
        before, after = raw[: request.start(2)], raw[request.end(2) :]
        return self.scrub(self._pairs(before) + self._target(request[2]) + self._pairs(after))

    def scalar(self, text: str) -> str:
        """A JSON scalar whose name tells nothing, with placeholders."""
        return self.scrub(json_codec.compact(self._json(_parsed(text))))

    def row(self, raw: str, layout: Layout) -> str:
        """A row of a table with placeholders; its cells stay as they are written where they hold nothing personal.

        Of a row that is wider or narrower than the table, whatever may belong to a personal column is hidden.
        """
        row, grammar = raw.replace(MARK, "\ufffd").encode(), layout.grammar
        spans = grammar.spans(row, layout.names)
        if spans is None:
            return self.template(raw)
        texts = [json_codec.without_surrogates(grammar.read(row[begin:end])) for begin, end in spans]
        country = next((text for name, text in zip(layout.names, texts, strict=False) if name == "country"), None)
        parts, place = [], 0
        for (begin, end), text, columns in zip(spans, texts, layout.columns_of(texts), strict=True):
            hidden = self._cell(text, columns, country, grammar.decoded)
            if hidden != text:
                parts += [row[place:begin].decode(), grammar.written(hidden, row[begin:end])]
                place = end
        return "".join([*parts, row[place:].decode()])

    def _cell(self, text: str, columns: tuple[str, ...], country: str | None, decode: Callable[[str], str]) -> str:
        own, *others = columns
        if self.trait(own, str):
            return self._value(own, text, country, str)
        if text and any(self.trait(name, str) for name in others):
            return text if text.startswith(HASHED) else DROPPED
        hidden = self._nested(text, own, decode)
        return self.scrub(text if json_codec.says_the_same(text, hidden) else hidden)

    def words(self, text: str) -> str:
        """Text that follows no grammar, with placeholders."""
        return self.scrub(self._pairs(text))

    def _target(self, target: str, decode: Callable[[str], str] = decoded) -> str:
        path, mark, query = target.partition("?")
        return path + mark + self._form(query, decode)

    def _form(self, form: str, decode: Callable[[str], str] = decoded) -> str:
        pieces = [piece.partition("=") for piece in form.split("&")]
        country = None
        if "country=" in form:
            country = next((decode(text) for name, _, text in pieces if name == "country"), None)
        return "&".join(name + mark + self._value(name, text, country, decode) for name, mark, text in pieces)

    def _pairs(self, text: str) -> str:
        country = None
        if "country=" in text:
            country = next((decoded(pair[2]) for pair in _PAIR.finditer(text) if pair[1] == "country"), None)

        def form_pair(match: re.Match[str]) -> str:
            return f"{match[1]}={self._value(match[1], match[2], country, decoded)}"

        def json_pair(match: re.Match[str]) -> str:
            value = match[2]
            redacted = self._value(match[1], value.strip('"'), None, str)
            return match[0] if redacted == value.strip('"') else f'"{match[1]}":"{redacted}"'

        if "=" in text:
            text = _PAIR.sub(form_pair, text)
        return _JSON_PAIR.sub(json_pair, text) if '":' in text or '" :' in text else text

    def _json(self, value: Any, name: str = "", country: str | None = None) -> Any:
        """A JSON value that stands under a name, which the items of a list repeat."""
        if isinstance(value, list):
            items = []
            for item in value:
                items.append(self._json(item, name, country))  # noqa: PERF401 - the stack is short, see json_text
            return items
        if isinstance(value, dict):
            own = value.get("country")
            is_item = fold(name) in self.containers
            hidden = {}
            for key, member in value.items():
                label = "" if is_item and fold(key) == "name" else key
                hidden[key] = self._json(member, label, own if isinstance(own, str) else None)
            return hidden
        text = json_codec.scalar(value)
        masked = text and self._value(name, text, country, str)
        if masked != text:
            return masked
        return self._nested(value) if isinstance(value, str) else value

    def _nested(self, text: str, name: str = "", decode: Callable[[str], str] = decoded) -> str:
        """A text that stands in JSON, or in a column of that name: JSON again, a URL or a form, or neither."""
        if text.lstrip().startswith(_OPENERS):
            try:
                return json_codec.compact(self._json(_parsed(text), name))
            except json_codec.JsonError:
                return self._pairs(text)
        sent = _SENT.match(text)
        if not sent:
            return self._pairs(text)
        return self._target(text, decode) if "?" in sent[0] else self._form(text, decode)

    def trait(self, name: str, decode: Callable[[str], str] = decoded) -> str | None:
        """The trait whose value a parameter of this name holds, or ADDRESS; None for neither."""
        known = decode, name
        if known not in self._by_name:
            self._by_name[known] = self._trait(fold("".join(decode(name).split())))
        return self._by_name[known]

    def _value(self, name: str, text: str, country: str | None, decode: Callable[[str], str]) -> str:
        """What stands for a parameter's value: a placeholder, `-` for an address, or the value itself."""
        trait = self.trait(name, decode)
        if not text or trait is None:
            return text
        return "-" if trait == ADDRESS else self._placeholder(trait, decode(text), country)

    def _trait(self, key: str) -> str | None:
        last = _last_step(key)
        if last in _ADDRESS_NAMES:
            return ADDRESS
        if last in self.traits:
            return self.traits[last]
        return next((trait for trait in _TELLING if fold(trait) in key), None)

    def _placeholder(self, trait: str, text: str, country: str | None) -> str:
        if MARK in text:  # a value within a value; no hash may rest on its number
            text = _PLACEHOLDER.sub(lambda match: self.found[int(match[1])][1], text)
        self.found.append((trait, text, country))
        return f"{MARK}{len(self.found) - 1:09}{MARK}"

    def scrub(self, text: str) -> str:
        """Without client addresses, and with what still looks like an e-mail address as a placeholder."""
        text = _IPV4.sub("-", text)
        if "::" in text or text.count(":") > _COLONS_OF_A_LINE:
            text = _IPV6.sub("-", text)
        if "@" not in text and "%40" not in text:
            return text
        return _EMAIL.sub(lambda match: self._placeholder("email", match[0].replace("%40", "@"), None), text)


def _last_step(key: str) -> str:
    """The last part of a name that is a path: `city` of `customer[city]`, `customer.city` and `city[0]`."""
    return next((step for step in reversed(_STEPS.split(key)) if step), "")


class Addition(Redactor):
    """Knows only the traits that a ruleset adds to the page's, and leaves values that are redacted already."""

    def __init__(self, ruleset: Ruleset, pii: Pii) -> None:
        super().__init__(ruleset, pii)
        page = Redactor(Ruleset(), pii).traits
        self.traits = {name: trait for name, trait in self.traits.items() if name not in page}

    def scrub(self, text: str) -> str:
        """The text: its addresses are gone."""
        return text

    def _value(self, name: str, text: str, country: str | None, decode: Callable[[str], str]) -> str:
        is_done = text == DROPPED or decode(text).startswith(HASHED)
        return text if is_done else super()._value(name, text, country, decode)

    def _trait(self, key: str) -> str | None:
        return self.traits.get(_last_step(key))
