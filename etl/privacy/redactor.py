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
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from etl.columnar import json_codec
from etl.columnar.delimited_rows import Layout
from etl.options import Pii
from etl.privacy.addresses import (
    DROPPED,
    HASHED,
    MARK,
    OPENERS,
    decoded,
    encoded,
    parsed,
    unescaped,
)
from etl.privacy.base64_texts import BASE64_WITHIN, JSON_HEADS, decoded_base64
from etl.privacy.broken_texts import TORN_EMAIL, hide_named, is_structured
from etl.privacy.clients import hide_user, hide_users
from etl.privacy.named_values import ITEM_NAME, NamedValueRedactor
from etl.privacy.personal_names import CLIENT, LOG_USERS, is_of_log
from etl.rules.ruleset import Ruleset, fold

#: If no request begins at the first bracket that could end a time, none begins at a later one: only that one is tried.
_REQUEST_LINE: Final = re.compile(
    r'\A(?>.*?(\] (?:\([^)]{0,500}\) )?"))(.*?)((?: HTTP/[^ "]*)?" (?:[0-9]{3}|-) (?:[0-9]+|-)(?: .*)?)', re.DOTALL
)
#: A value includes the words after a raw blank, unless a word begins a new pair.
_PAIR: Final = re.compile(r"""([^\s?&;=,"'{}]{1,100})=((?:\\.|[^&\s"\\])*(?: +(?!HTTP/)[^&\s"=\\]+(?=[\s&"]|$))*)""")
_JSON_PAIR: Final = re.compile(r'"((?:[^"\\]|\\.){1,100})"\s*:\s*("(?:[^"\\]|\\.)*"?|[^\s",{}\[\]]+)')
#: A pair of JSON whose quotes a server escaped, as nginx and Apache write a body into a line.
_ESCAPED_PAIR: Final = re.compile(
    r'(?P<quote>\\x22|\\")(?P<name>(?:(?!(?P=quote)).){1,100})(?P=quote)\s*:\s*'
    r"(?:(?P=quote)(?P<text>(?:(?!(?<!\\)(?<!\\x5[cC])(?P=quote)).)*)(?:(?P=quote))?|(?P<bare>[^\s\\\",{}\[\]]+))",
    re.DOTALL,
)
_HEX: Final = re.compile(rb"\\x([0-9A-Fa-f]{2})")
#: The beginning of a form, or of a URL with a query.
_FORM_OR_URL: Final = re.compile(r"(?:[^\s?=]*\?)?[^\s?=&]+=")

#: A part of a value of a form without which the value, decoded, is no form, URL, JSON, XML or IPv6 address.
_NESTING: Final = re.compile(r"[=?{\[@\\<]|%(?:7B|5B|3D|3F|25|40|3A|5C|3C)", re.IGNORECASE)
#: A word that is percent-encoded and holds a mark of a form, JSON, XML or a literal.
_ENCODED_PART: Final = re.compile(
    r"(?<![^\s&=?#\"'<>])[^\s&=?#\"'<>]*?%(?:25)*(?:7B|5B|3D|3C|3A)[^\s&=?#\"'<>]*",
    re.IGNORECASE,
)
#: A part of a value that no encoding leaves.
_UNENCODED: Final = re.compile(r'["<>]')
_MAX_LAYERS: Final = 4
#: The sign of an address in XML and HTML.
_SIGN_ENTITY: Final = re.compile("&(?:#0{0,9}64|#[xX]0{0,9}40|commat);")
#: Words in which there is nothing to find: no address, pair, JSON, or base64.
_WORDS: Final = re.compile(r"(?!.*(?:[A-Za-z0-9+/]{16}|\.[0-9]{1,3}\.))[\w .,;!?#$*+/()-]*")

#: A name as senders write names; a longer one is a text.
NAME_LENGTH: Final = 100
PLAIN_NAME: Final = re.compile(r"[\w.,\[\]()$@%+*/| -]*")

#: In the prefix of an object there are fewer braces.
_PREFIX_OPENERS: Final = 3


class Redactor(NamedValueRedactor):
    """Converts records to templates with placeholders for personal values, and fills the templates."""

    def __init__(self, ruleset: Ruleset, pii: Pii) -> None:
        super().__init__(ruleset, pii)
        self._layers = 0
        self._labels: dict[str, str] = {}
        self._is_unread = False

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
            return self._prefixed(raw)
        before, after = raw[: request.start(2)], raw[request.end(2) :]
        return self.line_text(before) + self._target(request[2]) + self.line_text(after)

    def _prefixed(self, raw: str) -> str:
        """Returns the template of a line that is no request: an object behind a prefix, or free text."""
        for opener in islice(re.finditer(r"\{", raw), _PREFIX_OPENERS if raw.rstrip().endswith("}") else 0):
            with suppress(json_codec.JsonError):
                return self.line_text(raw[: opener.start()]) + self.json_text(raw[opener.start() :])
        return self.free_text(raw)

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
        return DROPPED if self._pii == "drop" else self._broken(text)

    def _broken(self, text: str) -> str:
        """Returns the template of a broken text whose other parts stay, even with `drop`."""
        hidden = self.free_text(_SIGN_ENTITY.sub("@", unescaped(text)))
        return self._digits(TORN_EMAIL.sub(lambda match: self.placeholder("email", match[0], None), hidden))

    def unread_text(self, text: str) -> str:
        """Returns the template of a record that could not be read: if it is JSON, its texts are broken, not itself."""
        if self._pii == "drop":
            return DROPPED
        text = text.replace(MARK, "\ufffd")
        try:
            value = parsed(text)
        except json_codec.JsonError:
            return self.broken_text(text)
        self._is_unread = True
        hidden = self._json(value)
        self._is_unread = False
        return json_codec.compact(hidden)

    def _base64_within(self, match: re.Match[str]) -> str:
        """Returns the template of a part of a text, which may be base64."""
        hidden = self._base64(match[0].replace("\\", ""))
        return match[0] if hidden is None else hidden

    def _base64(self, text: str, name: str = "") -> str | None:
        """Returns the template of a text in base64 that holds something personal; None for other texts."""
        held = decoded_base64(text)
        if held is None:
            return None
        if held.is_packed:
            return DROPPED
        hidden = self._nested(held.text.replace(MARK, "\ufffd"), name)
        is_same = hidden == held.text or json_codec.is_equivalent(held.text, hidden)
        return None if is_same else self.base64_placeholder(held, hidden, self._plus)

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
        """Returns the template of text without a grammar: what follows a personal name in any syntax goes."""
        text = self._encoded_parts(BASE64_WITHIN.sub(self._base64_within, text))
        return self.scrub(hide_named(self._pairs(hide_users(text)), self))

    def line_text(self, text: str) -> str:
        """Returns the template of the text around the request of a log line, in which only pairs are looked for."""
        return self.scrub(self._pairs(hide_users(text)))

    def line_head(self, text: str) -> str:
        """Returns the template of the text of a regular log line before its time."""
        return self.scrub(hide_user(text))

    def path(self, text: str) -> str:
        """Returns the template of the path of a URL."""
        return self.scrub(self._encoded_parts(text))

    def _encoded_parts(self, text: str) -> str:
        """Returns the template of a text whose percent-encoded parts are decoded and searched."""
        return _ENCODED_PART.sub(lambda match: self._encoded_part(match[0]), text) if "%" in text else text

    def _encoded_part(self, text: str) -> str:
        """Returns the template of a percent-encoded part of a text, which may hold JSON, a URL or a form."""
        if self._layers == _MAX_LAYERS:
            return text
        self._layers += 1
        plain = decoded(text)
        hidden = self._nested(plain)
        self._layers -= 1
        return text if hidden == plain or json_codec.is_equivalent(plain, hidden) else encoded(hidden)

    def _target(self, target: str, decode: Callable[[str], str] = decoded) -> str:
        """Returns the template of a URL, whose query is a form."""
        path, mark, query = target.partition("?")
        return self.path(path) + mark + self._form(query, decode)

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
        shown = self._encoded_name(name, decode) + mark
        if not text:
            return shown
        hidden = self._value(name, text, country, decode)
        return shown + (self._encoded_value(name, text, decode) if hidden == text else hidden)

    def _encoded_name(self, name: str, decode: Callable[[str], str]) -> str:
        """Returns the template of the name of a parameter of a form."""
        if _NESTING.search(name):
            plain = decode(name)
            hidden = self.name(plain)
            return name if hidden == plain else encoded(hidden)
        return self.scrub(name)

    def _encoded_value(self, name: str, text: str, decode: Callable[[str], str] = decoded) -> str:
        """Returns the template of a value of a form, which may contain JSON, a URL or a form of its own."""
        if self._layers == _MAX_LAYERS or not (_NESTING.search(text) or text.startswith(JSON_HEADS)):
            return self.scrub(text)
        self._layers += 1
        plain = text if _UNENCODED.search(text) else decode(text)
        hidden = self._nested(plain, label if (label := self.label(decode(name))) == "items" else "")
        self._layers -= 1
        if hidden == plain or json_codec.is_equivalent(plain, hidden):
            return text
        if plain == text:
            return hidden
        return encoded(hidden) if decode is decoded else encoded(encoded(hidden))

    def _pairs(self, text: str) -> str:
        """Replaces personal values in the `name=value` and `"name": "value"` pairs of a text."""
        country = None
        if "country=" in text:
            country = next((decoded(pair[2]) for pair in _PAIR.finditer(text) if pair[1] == "country"), None)

        def form_pair(match: re.Match[str]) -> str:
            if match[1] == "name" and text.endswith(("form-data; ", "form-data;"), 0, match.start()):
                return match[0]
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

    def _json(self, value: Any, name: str = "", country: str | None = None, above: str | None = None) -> Any:
        """Returns a JSON value with placeholders.

        Args:
            value: The parsed value.
            name: The value's name; elements have the name of their array.
            country: The country of the object that contains the value.
            above: The trait of the names above this one.
        """
        if isinstance(value, list):
            items = []
            for item in value:
                items.append(self._json(item, name, country, above))  # noqa: PERF401 - a comprehension takes more stack, see json_codec.MAX_DEPTH
            return items
        if isinstance(value, dict):
            own = value["country"] if isinstance(value.get("country"), str) else None
            is_item = self.label(name) == "items"
            heir = self.heir(name, above)
            users = _users_of(value)
            hidden = {}
            for key, member in value.items():
                label = "" if is_item and fold(key) == ITEM_NAME else key
                hidden[self.name(key)] = self._json(member, label, own, CLIENT if key in users else heir)
            return hidden
        text = json_codec.scalar(value)
        masked = text and self._held(self.heir(name, above), text, country, str)
        if masked != text:
            return masked
        if not isinstance(value, str) or isinstance(value, json_codec.NumberText):
            return value
        return self._nested(value, self.label(name))

    def _nested(self, text: str, name: str = "", decode: Callable[[str], str] = decoded) -> str:
        """Returns the template of a text inside JSON or inside a column.

        The text may be base64, JSON, a URL or a form; or free text, in which a name announces what follows it.
        """
        if _WORDS.fullmatch(text) and not self._is_unread and name != "body":
            return text
        in_base64 = self._base64(text, name)
        return self._structured(text, name, decode) if in_base64 is None else in_base64

    def _structured(self, text: str, name: str, decode: Callable[[str], str]) -> str:
        """Returns the template of a text that may be JSON, a URL or a form, or free text."""
        if text.lstrip().startswith(OPENERS):
            try:
                return self.json_text(text, name)
            except json_codec.JsonError:
                return self.broken_text(text) if self._is_unread or is_structured(text) else self.free_text(text)
        is_body = name == "body" and text and not self._is_read(text)
        if self._is_unread or is_structured(text) or is_body:
            return self.broken_text(text)
        sent = _FORM_OR_URL.match(text)
        if not sent:
            return self.free_text(text)
        return self._target(text, decode) if "?" in sent[0] else self._form(text, decode)

    def label(self, name: str) -> str:
        """Returns what a text of this name is, where that decides how its parts are read: `body`, `items` or empty."""
        if name not in self._labels:
            self._labels[name] = "items" if fold(name) in self.containers else "body" if self.is_body(name) else ""
        return self._labels[name]

    @property
    def _plus(self) -> str:
        """A plus within the present number of percent-encoded layers."""
        return f"%{'25' * (self._layers - 1)}2B" if self._layers else "+"

    def name(self, name: str) -> str:
        """Returns the template of a name, which may be a whole text that was taken for a form."""
        if len(name) > NAME_LENGTH:
            return self._broken(name)
        if name.isidentifier():  # the usual name contains no address
            return name
        return self.scrub(name) if PLAIN_NAME.fullmatch(name) else self._broken(name)


def _users_of(members: dict[str, Any]) -> list[str]:
    """Returns the names in an object that hold the user who is logged in, if it is the record of a log."""
    users = [name for name, value in members.items() if value and value != "-" and fold(name) in LOG_USERS]
    return users if users and is_of_log(map(fold, members)) else []


def _unescaped(text: str) -> str:
    r"""Returns a text with the bytes that `\xHH` stands for."""
    if "\\x" not in text:
        return text
    return _HEX.sub(lambda match: bytes([int(match[1], 16)]), text.encode()).decode("utf-8", "replace")
