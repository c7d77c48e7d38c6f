"""Raw records without personal values (semantics 9.1): what rejections keep.

Personal parameters are found by name wherever they stand: in the query of a log line, in a form, at any depth of a
JSON text. Their values become `sha256:<hex>` of the normal form that the hash columns use, so that they still join.
Addresses of clients become `-`; whatever still looks like an e-mail address is hashed too. Text that follows no
grammar (a malformed record) is searched for `name=value` and `"name": "value"`.

All values of a batch are hashed at once: a record is first written with placeholders, then they are filled.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote_plus

import polars as pl

from etl import json_text, spec, traits
from etl.options import Pii
from etl.ruleset import Ruleset, fold

#: What stands before the hash of a personal value, and in the place of one without.
HASHED: Final = "sha256:"
DROPPED: Final = "redacted"

#: Stands around the number of a value to be filled in; a noncharacter, which no text needs.
_MARK: Final = "\ufdd0"
_PLACEHOLDER: Final = re.compile(f"{_MARK}([0-9]+){_MARK}")

_REQUEST_LINE: Final = re.compile(
    r'(\] (?:\([^)]*\) )?")(.*?)((?: HTTP/[0-9.]+)?" (?:[0-9]{3}|-) (?:[0-9]+|-)(?: .*)?)', re.DOTALL
)
#: A value goes on behind a raw blank with words that are no pairs of their own.
_PAIR: Final = re.compile(r"""([^\s?&;=,"'{}]{1,100})=((?:\\.|[^&\s"\\])*(?: +(?!HTTP/)[^&\s"=\\]+(?=[\s&"]|$))*)""")
_JSON_PAIR: Final = re.compile(r'"((?:[^"\\]|\\.){1,100})"\s*:\s*("(?:[^"\\]|\\.)*"?|[^\s",{}\[\]]+)')
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]+(?:@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_IPV4: Final = re.compile(r"(?<![\w./-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w.-])")
_IPV6: Final = re.compile(
    r"(?<![\w:./])(?=[0-9A-Fa-f:.]*::|(?:[0-9A-Fa-f]{1,4}:){7})[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z]+)?(?!\w)"
)

#: Traits whose name tells what a longer name holds: `customer_email`, `phone2`, `billing[first_name]`.
_TELLING: Final = ("email", "phone", "first_name", "last_name", "full_name", "birthdate", "zipcode")

#: A full IPv6 address adds seven to the colons that a log line has anyway.
_COLONS_OF_A_LINE: Final = 6

_ADDRESS: Final = "address"
_ADDRESS_NAMES: Final = frozenset(
    {"ip", "clientip", "remoteip", "remoteaddr", "ipaddress", "xforwardedfor", "xrealip", "cfconnectingip"}
    | {"trueclientip", "forwarded", "cookie", "setcookie", "authorization", "proxyauthorization"}
)


def redact_raws(raws: pl.Series, pii: Pii, ruleset: Ruleset) -> pl.Series:
    """The records as text without personal values; unchanged for `keep`, `redacted` in their place for `drop`.

    Args:
        raws: String: log lines or JSON texts, well-formed or not.
        pii: What becomes of personal values.
        ruleset: Its aliases of personal traits are personal too.
    """
    if pii == "keep" or not len(raws):
        return raws
    return pl.Series(raws.name, _Redactor(ruleset).filled(raws, pii), dtype=pl.String)


def redact_anew(raws: pl.Series, pii: Pii, ruleset: Ruleset) -> pl.Series:
    """Records that are redacted already, also without the values of what this ruleset alone calls personal.

    Args:
        raws: String: records as `redact_raws` wrote them by another ruleset.
        pii: What became of personal values.
        ruleset: The present rules.
    """
    redactor = _Addition(ruleset)
    if pii == "keep" or not redactor.traits:
        return raws
    return pl.Series(raws.name, redactor.filled(raws, pii), dtype=pl.String)


class _Redactor:
    """Writes records with placeholders and remembers the values they stand for: (trait, text, country)."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.found: list[tuple[str, str, str | None]] = []
        self.traits = {
            fold(name): field.name
            for field in ruleset.exact_fields
            if field.name in spec.PERSONAL_TRAITS
            for name in field.accepted
        }
        for path in ruleset.paths:
            named = path.parameter, [step for step in path.steps if isinstance(step, str)][-1]
            if fold(named[0]) in self.traits:
                self.traits.setdefault(fold(named[1]), self.traits[fold(named[0])])
        self._by_name: dict[str, str | None] = {}
        self.containers = {fold(name) for name in ruleset.item_containers.accepted}

    def filled(self, raws: pl.Series, pii: Pii) -> list[str]:
        """The records, redacted."""
        templates = [self.template(raw) for raw in raws]
        values = self.hashes() if pii == "hash" else [DROPPED] * len(self.found)
        return [_PLACEHOLDER.sub(lambda match: values[int(match[1])], template) for template in templates]

    def hashes(self) -> list[str]:
        """What to put in the place of each remembered value."""
        frame = pl.DataFrame(
            self.found,
            schema=["trait", "text", "country"],
            orient="row",
            schema_overrides={"trait": pl.String, "text": pl.String, "country": pl.String},
        ).with_row_index("place")
        digests: list[str] = [""] * frame.height
        for (trait,), part in frame.group_by("trait"):
            hashed = traits.sha256_of(traits.HASH_OF[str(trait)], part["text"], traits.is_us(part["country"]))
            for place, digest in zip(part["place"], hashed, strict=True):
                digests[place] = f"{HASHED}{digest}" if digest else DROPPED
        return digests

    def template(self, raw: str) -> str:
        raw = raw.replace(_MARK, "\ufffd")
        if raw.lstrip().startswith(("{", "[")):
            try:
                return self._scrub(json_text.compact(self._json(json_text.parse(raw.encode()), "")))
            except json_text.JsonError:
                return self._scrub(self._pairs(raw))
        request = _REQUEST_LINE.search(raw)
        if not request:
            return self._scrub(self._pairs(raw))
        before, after = raw[: request.start(2)], raw[request.end(2) :]
        return self._scrub(self._pairs(before) + self._target(request[2]) + self._pairs(after))

    def _target(self, target: str) -> str:
        path, mark, query = target.partition("?")
        return path + mark + self._form(query)

    def _form(self, form: str) -> str:
        pieces = [piece.partition("=") for piece in form.split("&")]
        country = None
        if "country=" in form:
            country = next((unquote_plus(text) for name, _, text in pieces if name == "country"), None)
        return "&".join(name + mark + self._value(name, text, country, unquote_plus) for name, mark, text in pieces)

    def _pairs(self, text: str) -> str:
        def form_pair(match: re.Match[str]) -> str:
            return f"{match[1]}={self._value(match[1], match[2], None, unquote_plus)}"

        def json_pair(match: re.Match[str]) -> str:
            value = match[2]
            redacted = self._value(match[1], value.strip('"'), None, str)
            return match[0] if redacted == value.strip('"') else f'"{match[1]}":"{redacted}"'

        if "=" in text:
            text = _PAIR.sub(form_pair, text)
        return _JSON_PAIR.sub(json_pair, text) if '":' in text or '" :' in text else text

    def _json(self, value: Any, container: str) -> Any:
        if isinstance(value, list):
            return [self._json(item, container) for item in value]
        if isinstance(value, str):
            return self._nested(value)
        if not isinstance(value, dict):
            return value
        country = value.get("country")
        redacted = {}
        for name, item in value.items():
            text = json_text.scalar(item)
            is_item_name = fold(container) in self.containers and fold(name) == "name"
            if text is None or is_item_name:
                redacted[name] = self._json(item, name) if json_text.is_structure(item) else item
            else:
                country_text = country if isinstance(country, str) else None
                masked = self._value(name, text, country_text, str)
                redacted[name] = self._json(item, name) if masked == text else masked
        return redacted

    def _nested(self, text: str) -> str:
        """A text inside JSON: JSON again, a URL or a form, or neither."""
        if text.lstrip().startswith(("{", "[")):
            try:
                return json_text.compact(self._json(json_text.parse(text.encode()), ""))
            except json_text.JsonError:
                return self._pairs(text)
        if "?" in text:
            return self._target(text)
        return self._form(text) if "=" in text else text

    def _value(self, name: str, text: str, country: str | None, decode: Callable[[str], str]) -> str:
        """What stands for a parameter's value: a placeholder, `-` for an address, or the value itself."""
        if name not in self._by_name:
            self._by_name[name] = self._trait(fold(decode(name).rstrip("]").rpartition("[")[2]))
        trait = self._by_name[name]
        if not text or trait is None:
            return text
        return "-" if trait == _ADDRESS else self._placeholder(trait, decode(text), country)

    def _trait(self, key: str) -> str | None:
        """The trait whose value a parameter of this folded name holds, or _ADDRESS; None for neither."""
        if key in _ADDRESS_NAMES:
            return _ADDRESS
        if key in self.traits:
            return self.traits[key]
        return next((trait for trait in _TELLING if fold(trait) in key), None)

    def _placeholder(self, trait: str, text: str, country: str | None) -> str:
        self.found.append((trait, text, country))
        return f"{_MARK}{len(self.found) - 1}{_MARK}"

    def _scrub(self, text: str) -> str:
        """Without client addresses, and with what still looks like an e-mail address as a placeholder."""
        text = _IPV4.sub("-", text)
        if "::" in text or text.count(":") > _COLONS_OF_A_LINE:
            text = _IPV6.sub("-", text)
        if "@" not in text and "%40" not in text:
            return text
        return _EMAIL.sub(lambda match: self._placeholder("email", match[0].replace("%40", "@"), None), text)


class _Addition(_Redactor):
    """Knows only the traits that a ruleset adds to the page's, and leaves values that are redacted already."""

    def __init__(self, ruleset: Ruleset) -> None:
        super().__init__(ruleset)
        page = _Redactor(Ruleset()).traits
        self.traits = {name: trait for name, trait in self.traits.items() if name not in page}

    def _value(self, name: str, text: str, country: str | None, decode: Callable[[str], str]) -> str:
        is_done = text == DROPPED or decode(text).startswith(HASHED)
        return text if is_done else super()._value(name, text, country, decode)

    def _trait(self, key: str) -> str | None:
        return self.traits.get(key)

    def _scrub(self, text: str) -> str:
        return text
