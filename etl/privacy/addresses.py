"""Finds e-mail addresses in texts and replaces them by their hashes, wherever they stand (rules 9.1).

An address is looked for in decoded texts: in strings and names of JSON, in percent-encoded parts, in JSON within them.
The hash is that of the address, and what is written around it stays well-formed.

A text first becomes a template with placeholders for its personal values. All templates of a batch are filled together,
so that all values are hashed at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NewType, overload
from urllib.parse import quote, unquote

import polars as pl

from etl.columnar import json_codec
from etl.columnar.factorize import factorize
from etl.columnar.string_buffers import holds_any
from etl.options import Pii
from etl.privacy import trait_hashes
from etl.privacy.base64_texts import Base64Text

#: A text that may be shown: what is personal in it is hidden, or was to be kept. Only this room makes one.
ShownText = NewType("ShownText", str)

#: A personal value: its trait, its decoded text, and the person's country or null.
PERSONAL_VALUES: Final = pl.Schema({"trait": pl.String(), "text": pl.String(), "country": pl.String()})

#: Prefix of the hash that replaces a personal value, and the replacement of a value without a hash.
HASHED: Final = "sha256:"
DROPPED: Final = "redacted"

#: Encloses the number of a value in a placeholder. It is a Unicode noncharacter, which no text needs. All placeholders
#: have one length, so that a record's template does not depend on earlier records.
MARK: Final = "\ufdd0"
_PLACEHOLDER: Final = re.compile(f"{MARK}([0-9]+){MARK}")

#: MARK inside a record, escaped. It becomes U+FFFD, like an unescaped MARK.
_JSON_MARK: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\ufdd0", re.IGNORECASE)
_FORM_MARK: Final = re.compile(r"%EF%B7%90", re.IGNORECASE)

#: Every text with an address contains one of these: the sign itself, percent-encoded once or more often, or escaped.
SIGNS: Final = ("@", "%40", "%2540", "%252540", "u0040", "x40")
#: Every address contains one of these: the sign itself, or what begins an escape.
_SIGN_BYTES: Final = "@%\\"
_SIGN: Final = re.compile("|".join(SIGNS))

#: An escape of JSON that cannot be parsed, such as `\n`; quotes and dots before the address; the address.
_EMAIL: Final = re.compile(
    r"(?<![\w.+'’-])((?:\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[nrtbfv]))?[.'’-]*)"
    r"([\w+][\w.+'’-]*@(?:[\w-]+\.)+(?:xn--[\w-]+|[^\W\d_]{2,}))"
)

#: The escape of a character that an address may contain, in JSON that cannot be parsed and perhaps within a string; a
#: server may have escaped its backslashes.
_ESCAPED_CHARACTER: Final = re.compile(
    r"(?<!\\)\\+(?:x5[cC]\\{0,4}){0,4}(?:u00|x)(2[bBdDeE]|3[0-9]|4[0-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])"
)

#: A part of a text that is percent-encoded and contains the sign, which may be escaped, or near which an escape stands.
_ENCODED: Final = re.compile(
    r"(?<![^\s&=?#\"'<>])[^\s&=?#\"'<>]*"
    r"(?:%(?:25){0,3}(?:5[cC](?:u00|x))?40|@[^\s&=?#\"'<>@]{0,255}%[0-9a-fA-F]{2}|%[0-9a-fA-F]{2}[^\s&=?#\"'<>@%]{0,64}@)"
    r"[^\s&=?#\"'<>]*"
)

#: Beginnings of JSON, and of JSON text inside a JSON string.
OPENERS: Final = ("{", "[", '"{', '"[')

#: How often a percent-encoded text is decoded, at most.
LAYERS: Final = 4


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
    return (HASHED + trait_hashes.digests_of(values)).fill_null(DROPPED)


def decoded(text: str) -> str:
    """Decodes a URL-encoded name or value; MARK becomes U+FFFD."""
    return percent_decoded(text.replace("+", " "))


def percent_decoded(text: str) -> str:
    """Decodes the percent escapes of a text; MARK becomes U+FFFD."""
    return unquote(_FORM_MARK.sub("%EF%BF%BD", text)) if "%" in text else text


def encoded(template: str) -> str:
    """Percent-encodes a template but for its placeholders.

    Examples:
        >>> encoded('{"a b":"' + MARK + "000000000" + MARK + '"}').replace(MARK, "|")
        '%7B%22a%20b%22%3A%22|000000000|%22%7D'
    """
    parts = _PLACEHOLDER.split(template)
    return "".join(f"{MARK}{part}{MARK}" if place % 2 else quote(part) for place, part in enumerate(parts))


def unescaped(text: str) -> str:
    r"""Returns a text without the escapes of characters that an address may contain.

    Examples:
        >>> unescaped(r"\u0061\x6e\\u006e\u0040example.com\u000a")
        'ann@example.com\\u000a'
    """
    if "\\" not in text or not ("40" in text or "@" in text):
        return text
    return _ESCAPED_CHARACTER.sub(lambda match: chr(int(match[1], 16)), text)


def parsed(text: str) -> Any:
    """Parses JSON; an escaped MARK becomes U+FFFD."""
    return json_codec.parse((_JSON_MARK.sub(r"\1\\ufffd", text) if "\\u" in text else text).encode())


def _filled(template: str, values: list[str]) -> str:
    """Returns a template whose placeholders are replaced by values."""
    return _PLACEHOLDER.sub(lambda match: values[int(match[1])], template)


class AddressRedactor:
    """Converts texts to templates with placeholders for e-mail addresses, and fills the templates.

    Attributes:
        found: The personal values so far: trait, text, country. A placeholder holds an index into this list.
    """

    def __init__(self, pii: Pii) -> None:
        self._pii = pii
        self.found: list[tuple[str, str, str | None]] = []
        self._in_base64: dict[int, Callable[[list[str]], str]] = {}

    def fill(self, templates: list[str]) -> pl.Series:
        """Fills the placeholders of templates with replacements. Call it once, after the last template."""
        values = replacements(pl.DataFrame(self.found, PERSONAL_VALUES, orient="row"), self._pii).to_list()
        for number, encoded_template in self._in_base64.items():
            values[number] = encoded_template(values)
        return pl.Series([_filled(template, values) for template in templates], dtype=pl.String)

    def addresses(self, text: str) -> str:
        """Returns the template of a decoded text, in which addresses alone are replaced.

        Args:
            text: A text of any kind, without MARK but in placeholders.
        """
        if not _SIGN.search(text):
            return text
        if text.lstrip().startswith(OPENERS):
            try:
                value = parsed(text)
            except json_codec.JsonError:
                return self.plain_addresses(text)
            hidden = self._in_json(value)
            return text if hidden == value else json_codec.compact(hidden)
        return self.plain_addresses(text)

    def plain_addresses(self, text: str, layers: int = LAYERS) -> str:
        """Returns the template of a text that is no JSON; percent-encoded parts are decoded."""
        if not _SIGN.search(text):
            return text
        if layers and "%" in text:
            text = _ENCODED.sub(lambda match: self._in_encoded(match[0], layers - 1), text)
        plain = unescaped(text)
        hidden = _EMAIL.sub(lambda match: match[1] + self.placeholder("email", match[2], None), plain)
        return text if hidden == plain else hidden

    def _in_encoded(self, text: str, layers: int) -> str:
        """Returns the template of a percent-encoded part of a text."""
        plain = percent_decoded(text)
        if plain == text:
            return text
        hidden = self.addresses(plain) if plain.lstrip().startswith(OPENERS) else self.plain_addresses(plain, layers)
        return text if hidden == plain else encoded(hidden)

    def _in_json(self, value: Any) -> Any:
        """Returns a JSON value with placeholders in its strings and names."""
        if isinstance(value, list):
            items = []
            for item in value:
                items.append(self._in_json(item))  # noqa: PERF401 - a comprehension takes more stack, see json_codec.MAX_DEPTH
            return items
        if isinstance(value, dict):
            hidden = {}
            for key, member in value.items():
                hidden[self.plain_addresses(key)] = self._in_json(member)
            return hidden
        is_text = isinstance(value, str) and not isinstance(value, json_codec.NumberText)
        return self.addresses(value) if is_text else value

    def base64_placeholder(self, held: Base64Text, template: str, plus: str) -> str:
        """Returns the placeholder of a template that is encoded in base64 when it is filled.

        Args:
            held: The text that was in base64.
            template: The template of this text.
            plus: How a plus is written.
        """
        placeholder = self.placeholder("email", "", None)
        self._in_base64[len(self.found) - 1] = lambda values: held.encoded(_filled(template, values)).replace("+", plus)
        return placeholder

    def placeholder(self, trait: str, text: str, country: str | None) -> str:
        """Adds a personal value to `found` and returns its placeholder."""
        if MARK in text:  # a placeholder inside a value; the hash must not depend on the placeholder's number
            text = _PLACEHOLDER.sub(lambda match: self.found[int(match[1])][1], text)
        self.found.append((trait, text, country))
        return f"{MARK}{len(self.found) - 1:09}{MARK}"


def hide_addresses(texts: pl.Series, pii: Pii) -> pl.Series:
    """Replaces the e-mail addresses in a column of decoded texts by their hashes; with `drop` such a text becomes null.

    Args:
        texts: String.
        pii: `keep` changes nothing.

    Examples:
        >>> texts = pl.Series(["by ann@example.com", "a@b", None])
        >>> [text and text[:16] for text in hide_addresses(texts, "hash")], hide_addresses(texts, "drop").to_list()
        (['by sha256:71d4f5', 'a@b', None], [None, 'a@b', None])
    """
    if pii == "keep" or texts.null_count() == len(texts) or not holds_any(texts, _SIGN_BYTES):
        return texts
    suspects = texts.str.contains_any(list(_SIGN_BYTES)).arg_true()
    suspects = suspects.filter(texts.gather(suspects).str.contains_any(list(SIGNS)))
    if not len(suspects):
        return texts
    distinct, numbers = factorize(texts.gather(suspects))
    redactor = AddressRedactor(pii)
    templates = [redactor.addresses(text.replace(MARK, "\ufffd")) for text in distinct]
    hidden = redactor.fill(templates)
    if pii == "drop":
        hidden = hidden.set(pl.Series([MARK in template for template in templates]), None)
    return texts.clone().scatter(suspects, hidden.gather(numbers))


@overload
def hide_text(text: None, pii: Pii) -> None: ...
@overload
def hide_text(text: str, pii: Pii) -> ShownText: ...
def hide_text(text: str | None, pii: Pii) -> ShownText | None:
    """Replaces the e-mail addresses in one text by their hashes, or by `redacted` with `drop`."""
    if text is None:
        return None
    if pii == "keep" or not _SIGN.search(text):
        return ShownText(text)
    redactor = AddressRedactor(pii)
    return ShownText(redactor.fill([redactor.addresses(text.replace(MARK, "\ufffd"))])[0])
