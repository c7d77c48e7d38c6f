"""Redacts records one at a time: log lines, JSON texts, forms, rows of tables, and text without a grammar (rules 9.1).

Personal parameters are found by their names: in the query of a log line, in a form, at any depth of a JSON text, in a
column of a table. Client addresses become `-`. Texts that look like an e-mail address are personal too. Malformed
records are searched for `name=value` and `"name": "value"`.

Each record first becomes a template with placeholders for its personal values. All templates of a batch are filled
together, so that all values are hashed at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from etl.columnar import json_codec
from etl.columnar.delimited_rows import Layout
from etl.options import Pii
from etl.privacy.addresses import (
    DROPPED,
    HASHED,
    MARK,
    OPENERS,
    AddressRedactor,
    decoded,
    encoded,
    parsed,
    percent_decoded,
)
from etl.privacy.broken_texts import LONG_NUMBER, hide_named, is_structured
from etl.rules import page
from etl.rules.ruleset import Ruleset, fold

#: Returned by `Redactor.trait` for a parameter that holds a client's address or credentials.
ADDRESS: Final = "address"

_REQUEST_LINE: Final = re.compile(
    r'(\] (?:\([^)]*\) )?")(.*?)((?: HTTP/[^ "]*)?" (?:[0-9]{3}|-) (?:[0-9]+|-)(?: .*)?)', re.DOTALL
)
#: A value includes the words after a raw blank, unless a word begins a new pair.
_PAIR: Final = re.compile(r"""([^\s?&;=,"'{}]{1,100})=((?:\\.|[^&\s"\\])*(?: +(?!HTTP/)[^&\s"=\\]+(?=[\s&"]|$))*)""")
_JSON_PAIR: Final = re.compile(r'"((?:[^"\\]|\\.){1,100})"\s*:\s*("(?:[^"\\]|\\.)*"?|[^\s",{}\[\]]+)')
#: A pair of JSON whose quotes a server escaped, as nginx and Apache write a body into a line.
_ESCAPED_PAIR: Final = re.compile(
    r'(?P<quote>\\x22|\\")(?P<name>(?:(?!(?P=quote)).){1,100})(?P=quote)\s*:\s*'
    r"(?:(?P=quote)(?P<text>(?:(?!(?P=quote)).)*)(?:(?P=quote))?|(?P<bare>[^\s\\\",{}\[\]]+))",
    re.DOTALL,
)
_HEX: Final = re.compile(rb"\\x([0-9A-Fa-f]{2})")
_IPV4: Final = re.compile(r"(?<![\w./-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w.-])")
_IPV6: Final = re.compile(
    r"(?<![\w:./])(?=[0-9A-Fa-f:.]*::|(?:[0-9A-Fa-f]{1,4}:){7})[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z]+)?(?!\w)"
)

#: The beginning of a form, or of a URL with a query.
_FORM_OR_URL: Final = re.compile(r"(?:[^\s?=]*\?)?[^\s?=&]+=")

#: A part of a value of a form without which the value, decoded, is no form, URL, JSON or IPv6 address.
_NESTING: Final = re.compile(r"[=?{\[@\\]|%(?:7B|5B|3D|3F|25|40|3A|5C)", re.IGNORECASE)
_MAX_LAYERS: Final = 4

#: Folded names of texts that are the body of a request.
_BODY_NAMES: Final = frozenset(("body", "rawbody", "requestbody", "postdata", "payload"))

#: Separators of a name that is a path: `customer[phone][0]`, `customer.phone`, `cs(Cookie)`.
_STEPS: Final = re.compile(r"[\[\]().]+[0-9]*")

#: A name that contains the name of one of these traits holds that trait: `customer_email`, `phone2`.
_PARTIAL_NAMES: Final = ("email", "phone", "first_name", "last_name", "full_name", "birthdate", "zipcode")

#: A text without `::` and with at most 6 colons contains no IPv6 address, which has seven.
_COLONS_OF_A_LINE: Final = 6

_ADDRESS_NAMES: Final = frozenset(
    {"ip", "clientip", "remoteip", "remoteaddr", "ipaddress", "xforwardedfor", "xrealip", "cfconnectingip"}
    | {"trueclientip", "forwarded", "cookie", "setcookie", "authorization", "proxyauthorization"}
)


class Redactor(AddressRedactor):
    """Converts records to templates with placeholders for personal values, and fills the templates.

    Attributes:
        traits: Trait by folded parameter name.
        containers: Folded names of items arrays.
    """

    def __init__(self, ruleset: Ruleset, pii: Pii) -> None:
        super().__init__(pii)
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
        fields = (*ruleset.core_fields, *ruleset.exact_fields, ruleset.item_containers)
        self._known = {fold(name) for field in fields for name in field.accepted}
        self._known |= {fold(str(path.steps[0])) for path in ruleset.paths}
        self._layers = 0
        self._labels: dict[str, str] = {}

    def template(self, raw: str) -> str:
        """Returns the template of a JSON record, a log line or other text."""
        raw = raw.replace(MARK, "\ufffd")
        if raw.lstrip().startswith(("{", "[")):
            try:
                return self.json_text(raw)
            except json_codec.JsonError:
                return self.broken_text(raw)
        request = _REQUEST_LINE.search(raw)
        if not request:
            return self.free_text(raw)
        before, after = raw[: request.start(2)], raw[request.end(2) :]
        return self.free_text(before) + self._target(request[2]) + self.free_text(after)

    def json_text(self, text: str, label: str = "") -> str:
        """Returns the template of a JSON text.

        Args:
            text: The text.
            label: What it is, see `label`.

        Raises:
            JsonError: The text is not JSON.
        """
        return json_codec.compact(self._json(parsed(text), label))

    def broken_text(self, text: str) -> str:
        """Returns the template of a text that cannot be parsed: what follows a personal name, and long numbers, go."""
        if self._pii == "drop":
            return DROPPED
        return self._digits(self.scrub(hide_named(self._pairs(text.replace(MARK, "\ufffd")), self)))

    def hidden_value(self, trait: str, text: str) -> str:
        """Returns the replacement of the value of a trait, which may be percent-encoded."""
        if text.startswith((HASHED, DROPPED, MARK)):
            return text
        return "-" if trait == ADDRESS else self.placeholder(trait, percent_decoded(text), None)

    def _digits(self, text: str) -> str:
        """Replaces runs of seven or more digits, and telephone numbers with a plus."""
        return LONG_NUMBER.sub(lambda match: self.placeholder("phone", match[0], None), text)

    def row(self, raw: str, layout: Layout) -> str:
        """Returns the template of a table's row. Cells without personal values stay as written.

        If the row has too many or too few cells, every cell that may belong to a personal column is replaced.
        """
        row, grammar = raw.replace(MARK, "\ufffd").encode(), layout.grammar
        spans = grammar.split(row, layout.names)
        if spans is None:
            return self.template(raw)
        texts = [json_codec.without_surrogates(grammar.read(row[begin:end])) for begin, end in spans]
        country = next((text for name, text in zip(layout.names, texts, strict=False) if name == "country"), None)
        parts, place = [], 0
        for (begin, end), text, columns in zip(spans, texts, layout.possible_columns(texts), strict=True):
            hidden = self._cell(text, columns, country, grammar.decode)
            if hidden != text:
                parts += [row[place:begin].decode(), grammar.write(hidden, row[begin:end])]
                place = end
        return "".join([*parts, row[place:].decode()])

    def _cell(self, text: str, columns: tuple[str, ...], country: str | None, decode: Callable[[str], str]) -> str:
        """Returns the template of a cell that belongs to the first of the columns, or perhaps to another of them."""
        own, *others = columns
        if self.trait(own, str):
            return self._value(own, text, country, str)
        if text and any(self.trait(name, str) for name in others):
            return text if text.startswith(HASHED) else DROPPED
        hidden = self._nested(text, self.label(own), decode)
        return text if json_codec.is_equivalent(text, hidden) else hidden

    def free_text(self, text: str) -> str:
        """Returns the template of text without a grammar: pairs of names and values are searched for."""
        return self.scrub(self._pairs(text))

    def _target(self, target: str, decode: Callable[[str], str] = decoded) -> str:
        """Returns the template of a URL, whose query is a form."""
        path, mark, query = target.partition("?")
        return self.scrub(path) + mark + self._form(query, decode)

    def _form(self, form: str, decode: Callable[[str], str] = decoded) -> str:
        """Returns the template of a URL-encoded form."""
        pieces = form.split("&")
        country = None
        if "country=" in form:
            named = (piece.partition("=") for piece in pieces)
            country = next((decode(text) for name, _, text in named if name == "country"), None)
        return "&".join(self.piece(piece, country, decode) for piece in pieces)

    def piece(self, piece: str, country: str | None = None, decode: Callable[[str], str] = decoded) -> str:
        """Returns the template of a parameter of a form."""
        name, mark, text = piece.partition("=")
        if not text:
            return self.scrub(name) + mark
        hidden = self._value(name, text, country, decode)
        return self.scrub(name) + mark + (self._encoded_value(name, text, decode) if hidden == text else hidden)

    def _encoded_value(self, name: str, text: str, decode: Callable[[str], str] = decoded) -> str:
        """Returns the template of a value of a form, which may contain JSON, a URL or a form of its own."""
        if self._layers == _MAX_LAYERS or not _NESTING.search(text):
            return self.scrub(text)
        self._layers += 1
        plain = decode(text)
        hidden = self._nested(plain, label if (label := self.label(decode(name))) == "items" else "")
        self._layers -= 1
        if hidden == plain or json_codec.is_equivalent(plain, hidden):
            return text
        return encoded(hidden) if decode is decoded else encoded(encoded(hidden))

    def _pairs(self, text: str) -> str:
        """Replaces personal values in the `name=value` and `"name": "value"` pairs of a text."""
        country = None
        if "country=" in text:
            country = next((decoded(pair[2]) for pair in _PAIR.finditer(text) if pair[1] == "country"), None)

        def form_pair(match: re.Match[str]) -> str:
            hidden = self._value(match[1], match[2], country, decoded)
            return f"{match[1]}={self._encoded_value(match[1], match[2]) if hidden == match[2] else hidden}"

        def json_pair(match: re.Match[str]) -> str:
            value = match[2]
            redacted = self._value(match[1], value.strip('"'), None, str)
            return match[0] if redacted == value.strip('"') else f'"{match[1]}":"{redacted}"'

        def escaped_pair(match: re.Match[str]) -> str:
            value = match["text"] if match["bare"] is None else match["bare"]
            redacted = self._value(match["name"], _unescaped(value), None, str)
            quote = match["quote"]
            same = redacted == _unescaped(value)
            return match[0] if same else f"{quote}{match['name']}{quote}:{quote}{redacted}{quote}"

        if "\\x22" in text or '\\"' in text:
            text = _ESCAPED_PAIR.sub(escaped_pair, text)
        if "=" in text:
            text = _PAIR.sub(form_pair, text)
        return _JSON_PAIR.sub(json_pair, text) if '":' in text or '" :' in text else text

    def _json(self, value: Any, name: str = "", country: str | None = None) -> Any:
        """Returns a JSON value with placeholders.

        Args:
            value: The parsed value.
            name: The value's name; elements have the name of their array.
            country: The country of the object that contains the value.
        """
        if isinstance(value, list):
            items = []
            for item in value:
                items.append(self._json(item, name, country))  # noqa: PERF401 - a comprehension takes more stack, see json_codec.MAX_DEPTH
            return items
        if isinstance(value, dict):
            own = value["country"] if isinstance(value.get("country"), str) else None
            is_item = self.label(name) == "items"
            hidden = {}
            for key, member in value.items():
                label = "" if is_item and fold(key) == "name" else key
                shown = key if key.isidentifier() else self.scrub(key)  # an identifier contains no address
                hidden[shown] = self._json(member, label, own)
            return hidden
        text = json_codec.scalar(value)
        masked = text and self._value(name, text, country, str)
        if masked != text:
            return masked
        if not isinstance(value, str) or isinstance(value, json_codec.NumberText):
            return value
        return self._nested(value, self.label(name))

    def _nested(self, text: str, name: str = "", decode: Callable[[str], str] = decoded) -> str:
        """Returns the template of a text inside JSON or inside a column, which may itself be JSON, a URL or a form."""
        if text.lstrip().startswith(OPENERS):
            try:
                return self.json_text(text, name)
            except json_codec.JsonError:
                return self.broken_text(text) if is_structured(text) else self.free_text(text)
        if is_structured(text) or (name == "body" and text and not self._is_read(text)):
            return self.broken_text(text)
        sent = _FORM_OR_URL.match(text)
        if not sent:
            return self.free_text(text)
        return self._target(text, decode) if "?" in sent[0] else self._form(text, decode)

    def label(self, name: str) -> str:
        """Returns what a text of this name is, where that decides how its parts are read: `body`, `items` or empty."""
        if name not in self._labels:
            self._labels[name] = (
                "items" if fold(name) in self.containers else "body" if fold(name) in _BODY_NAMES else ""
            )
        return self._labels[name]

    def _is_read(self, form: str) -> bool:
        """Returns whether a form, or the query of a URL, contains a name that is read."""
        pieces = form.partition("?")[2].split("&") if "?" in form.partition("=")[0] else form.split("&")
        names = (decoded(piece.partition("=")[0]) for piece in pieces if "=" in piece)
        return any(
            name.startswith(page.PASSTHROUGH_PREFIX) or fold(name.partition("[")[0]) in self._known for name in names
        )

    def trait(self, name: str, decode: Callable[[str], str] = decoded) -> str | None:
        """Returns the personal trait that a parameter of this name holds, or ADDRESS; None for other parameters."""
        known = decode, name
        if known not in self._by_name:
            self._by_name[known] = self._trait(fold("".join(decode(name).split())))
        return self._by_name[known]

    def _value(self, name: str, text: str, country: str | None, decode: Callable[[str], str]) -> str:
        """Returns a placeholder for a personal value, `-` for an address, or the value itself."""
        trait = self.trait(name, decode)
        if not text or trait is None:
            return text
        return "-" if trait == ADDRESS else self.placeholder(trait, decode(text), country)

    def _trait(self, key: str) -> str | None:
        """Returns the trait of a folded name: by its last part, else by a trait's name inside the name."""
        last = _last_step(key)
        if last in _ADDRESS_NAMES:
            return ADDRESS
        if last in self.traits:
            return self.traits[last]
        return next((trait for trait in _PARTIAL_NAMES if fold(trait) in key), None)

    def scrub(self, text: str) -> str:
        """Replaces client addresses in a text by `-`, and e-mail addresses by placeholders."""
        text = _IPV4.sub("-", text)
        if "::" in text or text.count(":") > _COLONS_OF_A_LINE:
            text = _IPV6.sub("-", text)
        return self.plain_addresses(text)


def _unescaped(text: str) -> str:
    r"""Returns a text with the bytes that `\xHH` stands for."""
    if "\\x" not in text:
        return text
    return _HEX.sub(lambda match: bytes([int(match[1], 16)]), text.encode()).decode("utf-8", "replace")


def _last_step(key: str) -> str:
    """Returns the last part of a name that is a path: `city` of `customer[city]`, `customer.city` and `city[0]`."""
    return next((step for step in reversed(_STEPS.split(key)) if step), "")


class AddedTraitsRedactor(Redactor):
    """Redacts only the traits that a ruleset adds to the page's, and leaves values that are already redacted."""

    def __init__(self, ruleset: Ruleset, pii: Pii) -> None:
        super().__init__(ruleset, pii)
        page = Redactor(Ruleset(), pii).traits
        self.traits = {name: trait for name, trait in self.traits.items() if name not in page}

    def scrub(self, text: str) -> str:
        """Returns the text unchanged: an earlier redaction has removed its addresses."""
        return text

    def _digits(self, text: str) -> str:
        """Returns the text unchanged: an earlier redaction has removed its long numbers."""
        return text

    def _value(self, name: str, text: str, country: str | None, decode: Callable[[str], str]) -> str:
        """Returns a placeholder for a personal value, unless the value is already redacted."""
        is_done = text == DROPPED or decode(text).startswith(HASHED)
        return text if is_done else super()._value(name, text, country, decode)

    def _trait(self, key: str) -> str | None:
        """Returns the added trait of a folded name, by its last part."""
        return self.traits.get(_last_step(key))
