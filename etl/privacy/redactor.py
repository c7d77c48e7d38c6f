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
from urllib.parse import unquote_plus

import polars as pl

from etl.columnar import json_codec
from etl.columnar.delimited_rows import Layout
from etl.options import Pii
from etl.privacy import trait_hashes
from etl.rules import page
from etl.rules.ruleset import Ruleset, fold

#: A personal value: its trait, its decoded text, and the person's country or null.
PERSONAL_VALUES: Final = pl.Schema({"trait": pl.String(), "text": pl.String(), "country": pl.String()})

#: Prefix of the hash that replaces a personal value, and the replacement of a value without a hash.
HASHED: Final = "sha256:"
DROPPED: Final = "redacted"

#: Returned by `Redactor.trait` for a parameter that holds a client's address or credentials.
ADDRESS: Final = "address"

#: Encloses the number of a value in a placeholder. It is a Unicode noncharacter, which no text needs. All placeholders
#: have one length, so that a record's template does not depend on earlier records.
MARK: Final = "\ufdd0"
_PLACEHOLDER: Final = re.compile(f"{MARK}([0-9]+){MARK}")

#: MARK inside a record, escaped. It becomes U+FFFD, like an unescaped MARK.
_JSON_MARK: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\ufdd0", re.IGNORECASE)
_FORM_MARK: Final = re.compile(r"%EF%B7%90", re.IGNORECASE)

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
#: The rest of an escape that an address seems to begin with.
_REST_OF_ESCAPE: Final = re.compile(r"x[0-9A-Fa-f]{2}(?=.)")
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]+(?:@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_IPV4: Final = re.compile(r"(?<![\w./-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w.-])")
_IPV6: Final = re.compile(
    r"(?<![\w:./])(?=[0-9A-Fa-f:.]*::|(?:[0-9A-Fa-f]{1,4}:){7})[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z]+)?(?!\w)"
)

#: The beginning of a form, or of a URL with a query.
_FORM_OR_URL: Final = re.compile(r"(?:[^\s?=]*\?)?[^\s?=&]+=")

#: Beginnings of JSON, and of JSON text inside a JSON string.
_OPENERS: Final = ("{", "[", '"{')

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


def replacements(values: pl.DataFrame, pii: Pii) -> pl.Series:
    """Returns the replacement of each personal value: its hash, or `redacted`.

    Args:
        values: Rows of `PERSONAL_VALUES`.
        pii: `hash`, or `drop`, which gives `redacted` for every value.

    Examples:
        >>> values = pl.DataFrame([("city", "Oslo", None), ("birthdate", "?", None)], PERSONAL_VALUES, orient="row")
        >>> [text[:14] for text in replacements(values, "hash")], replacements(values, "drop").to_list()
        (['sha256:8e01639', 'redacted'], ['redacted', 'redacted'])
    """
    if pii == "drop" or not values.height:
        return pl.Series([DROPPED]).new_from_index(0, values.height)
    parts = []
    for part in values.with_row_index("place").partition_by("trait"):
        trait = part["trait"][0]
        texts = part["text"].set(~trait_hashes.are_hashable(trait, part["text"]), None)
        hashed = trait_hashes.sha256_of(trait_hashes.HASH_OF[trait], texts, part["country"])
        parts.append(part.select("place", text=HASHED + pl.lit(hashed)))
    return pl.concat(parts).sort("place")["text"].fill_null(DROPPED)


def decoded(text: str) -> str:
    """Decodes a URL-encoded name or value; MARK becomes U+FFFD."""
    return unquote_plus(_FORM_MARK.sub("%EF%BF%BD", text) if "%" in text else text)


def _parsed(text: str) -> Any:
    """Parses JSON; an escaped MARK becomes U+FFFD."""
    return json_codec.parse((_JSON_MARK.sub(r"\1\\ufffd", text) if "\\u" in text else text).encode())


class Redactor:
    """Converts records to templates with placeholders, collects the personal values, and fills the templates.

    Attributes:
        found: The personal values so far: trait, text, country. A placeholder holds an index into this list.
        traits: Trait by folded parameter name.
        containers: Folded names of items arrays.
    """

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

    def fill(self, templates: list[str]) -> pl.Series:
        """Fills the placeholders of templates with replacements. Call it once, after the last template."""
        values = replacements(pl.DataFrame(self.found, PERSONAL_VALUES, orient="row"), self._pii).to_list()
        return pl.Series(
            [_PLACEHOLDER.sub(lambda match: values[int(match[1])], template) for template in templates], dtype=pl.String
        )

    def template(self, raw: str) -> str:
        """Returns the template of a JSON record, a log line or other text."""
        raw = raw.replace(MARK, "\ufffd")
        if raw.lstrip().startswith(("{", "[")):
            try:
                return self.json_text(raw)
            except json_codec.JsonError:
                return self.free_text(raw)
        request = _REQUEST_LINE.search(raw)
        if not request:
            return self.free_text(raw)
        before, after = raw[: request.start(2)], raw[request.end(2) :]
        return self.scrub(self._pairs(before) + self._target(request[2]) + self._pairs(after))

    def json_text(self, text: str) -> str:
        """Returns the template of a JSON text whose own name is unknown or names no trait.

        Raises:
            JsonError: The text is not JSON.
        """
        return self.scrub(json_codec.compact(self._json(_parsed(text))))

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
        hidden = self._nested(text, own, decode)
        return self.scrub(text if json_codec.is_equivalent(text, hidden) else hidden)

    def free_text(self, text: str) -> str:
        """Returns the template of text without a grammar: pairs of names and values are searched for."""
        return self.scrub(self._pairs(text))

    def _target(self, target: str, decode: Callable[[str], str] = decoded) -> str:
        """Returns the template of a URL, whose query is a form."""
        path, mark, query = target.partition("?")
        return path + mark + self._form(query, decode)

    def _form(self, form: str, decode: Callable[[str], str] = decoded) -> str:
        """Returns the template of a URL-encoded form."""
        pieces = [piece.partition("=") for piece in form.split("&")]
        country = None
        if "country=" in form:
            country = next((decode(text) for name, _, text in pieces if name == "country"), None)
        return "&".join(name + mark + self._value(name, text, country, decode) for name, mark, text in pieces)

    def _pairs(self, text: str) -> str:
        """Replaces personal values in the `name=value` and `"name": "value"` pairs of a text."""
        country = None
        if "country=" in text:
            country = next((decoded(pair[2]) for pair in _PAIR.finditer(text) if pair[1] == "country"), None)

        def form_pair(match: re.Match[str]) -> str:
            return f"{match[1]}={self._value(match[1], match[2], country, decoded)}"

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
        """Returns the template of a text inside JSON or inside a column, which may itself be JSON, a URL or a form."""
        if text.lstrip().startswith(_OPENERS):
            try:
                return json_codec.compact(self._json(_parsed(text), name))
            except json_codec.JsonError:
                return self._pairs(text)
        sent = _FORM_OR_URL.match(text)
        if not sent:
            return self._pairs(text)
        return self._target(text, decode) if "?" in sent[0] else self._form(text, decode)

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
        return "-" if trait == ADDRESS else self._placeholder(trait, decode(text), country)

    def _trait(self, key: str) -> str | None:
        """Returns the trait of a folded name: by its last part, else by a trait's name inside the name."""
        last = _last_step(key)
        if last in _ADDRESS_NAMES:
            return ADDRESS
        if last in self.traits:
            return self.traits[last]
        return next((trait for trait in _PARTIAL_NAMES if fold(trait) in key), None)

    def _placeholder(self, trait: str, text: str, country: str | None) -> str:
        """Adds a personal value to `found` and returns its placeholder."""
        if MARK in text:  # a placeholder inside a value; the hash must not depend on the placeholder's number
            text = _PLACEHOLDER.sub(lambda match: self.found[int(match[1])][1], text)
        self.found.append((trait, text, country))
        return f"{MARK}{len(self.found) - 1:09}{MARK}"

    def scrub(self, text: str) -> str:
        """Replaces client addresses in a text by `-`, and e-mail addresses by placeholders."""
        text = _IPV4.sub("-", text)
        if "::" in text or text.count(":") > _COLONS_OF_A_LINE:
            text = _IPV6.sub("-", text)
        if "@" not in text and "%40" not in text:
            return text

        def address(match: re.Match[str]) -> str:
            is_escaped = text[match.start() - 1 : match.start()] == "\\"
            rest = _REST_OF_ESCAPE.match(match[0]) if is_escaped else None
            before = rest[0] if rest else ""
            return before + self._placeholder("email", match[0][len(before) :].replace("%40", "@"), None)

        return _EMAIL.sub(address, text)


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

    def _value(self, name: str, text: str, country: str | None, decode: Callable[[str], str]) -> str:
        """Returns a placeholder for a personal value, unless the value is already redacted."""
        is_done = text == DROPPED or decode(text).startswith(HASHED)
        return text if is_done else super()._value(name, text, country, decode)

    def _trait(self, key: str) -> str | None:
        """Returns the added trait of a folded name, by its last part."""
        return self.traits.get(_last_step(key))
