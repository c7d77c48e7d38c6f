"""The ruleset: the page's rows, a user's additions, and the switches for what the page leaves open (semantics 11).

A ruleset file is TOML. Top-level keys are the switches below; `[aliases]` adds names for a field, `[events]` adds
conversion types, `[item_aliases]` adds names for an item's field. What it adds stands after the page's own names, so
it can extend the page and never shadow it.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, Final, NamedTuple

import orjson

from etl import spec
from etl.errors import RulesetError

_FOLD: Final = str.maketrans({**{chr(c): chr(c + 32) for c in range(ord("A"), ord("Z") + 1)}, "_": None, "-": None})

#: ASCII letters to lower case and nothing else, for `str.translate`.
ASCII_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def fold(name: str) -> str:
    """The name in ASCII lower case without `_` and `-`: how core fields are matched.

    Source: "How the Endpoint Reads Parameters"; semantics 2.1.

    Examples:
        >>> fold("Click-ID"), fold("total_value"), fold("ÉVENT"), fold("")
        ('clickid', 'totalvalue', 'Évent', '')
    """
    return name.translate(_FOLD)


class Switch(NamedTuple):
    """One documented guess that a ruleset can change: key, accepted values (the default first), ruling."""

    key: str
    accepted: tuple[str, ...]
    source: str


SWITCHES: Final = (
    Switch("parameter_order", ("query_first", "body_first"), "semantics 1.4"),
    Switch("alias_order", ("listed", "payload"), "semantics 2.2"),
    Switch("email_identity", ("folded", "exact"), "semantics 2.5"),
    Switch("conversion_type_match", ("exact", "trimmed"), "semantics 5.2"),
    Switch("dedup_scope", ("event", "transaction", "off"), "semantics 6.3"),
    Switch("items_names", ("folded", "exact"), "semantics 8.1"),
    Switch("item_field_names", ("folded", "exact"), "semantics 8.1"),
)

_WINDOW: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_WINDOW_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Ruleset:
    """The rules of one run, immutable. `Ruleset()` is the page.

    Attributes:
        name: What the run's summary calls it.
        core_fields: Fields matched by folded name, accepted names in order of precedence.
        exact_fields: Fields matched as written.
        item_containers: The names an items array may stand under.
        item_fields: Fields of an item.
        events: conversion_type value -> event.
        collect_path: Template of a postback's path.
        dedup_window: How long after the kept record a repetition counts as one; None: for ever.
    """

    name: str = "builtin"
    core_fields: tuple[spec.Field, ...] = spec.CORE_FIELDS
    exact_fields: tuple[spec.Field, ...] = spec.EXACT_FIELDS
    item_containers: spec.Field = spec.ITEM_CONTAINERS
    item_fields: tuple[spec.Field, ...] = spec.ITEM_FIELDS
    events: tuple[tuple[str, str], ...] = spec.EVENTS
    collect_path: str = spec.COLLECT_PATH
    parameter_order: str = "query_first"
    alias_order: str = "listed"
    email_identity: str = "folded"
    conversion_type_match: str = "exact"
    dedup_scope: str = "event"
    dedup_window: timedelta | None = None
    items_names: str = "folded"
    item_field_names: str = "folded"

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything the rules say, hex. The name does not count."""
        rules = {key: value for key, value in vars(self).items() if key not in {"name", "digest"}}
        rules["dedup_window"] = self.dedup_window and self.dedup_window.total_seconds()
        return hashlib.sha256(orjson.dumps(rules, option=orjson.OPT_SORT_KEYS, default=list)).hexdigest()

    @property
    def collect_pattern(self) -> str:
        """The collect path as a regular expression with named groups; any prefix and a trailing slash are allowed."""
        template = re.escape(self.collect_path.strip("/"))
        for placeholder in ("account", "integration"):
            template = template.replace(re.escape("{" + placeholder + "}"), f"(?P<{placeholder}>[^/]+)")
        return f"/{template}/?$"


def parse_ruleset(text: str, where: str) -> Ruleset:
    """The ruleset that a TOML file's text describes: the page plus what the file adds.

    Args:
        text: The file's text.
        where: The file's name, for messages and as the name of a ruleset that has none.

    Raises:
        RulesetError: Not TOML, an unknown key, a value that is not accepted, or a name claimed twice.
    """
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesetError(f"{where} is not valid TOML: {error}", "Mend the file at that place.") from None
    return _Reader(where).ruleset(entries)


class _Reader:
    """Reads the entries of one file; it exists so that every message can name the file."""

    def __init__(self, where: str) -> None:
        self.where = where

    def ruleset(self, entries: dict[str, Any]) -> Ruleset:
        tables = ("aliases", "events", "item_aliases")
        switches = {switch.key: switch.accepted for switch in SWITCHES}
        known = ("name", "collect_path", *switches, "dedup_window", *tables)
        for key in entries:
            if key not in known:
                raise self._error(f"unknown key {key!r}", f"Known keys: {', '.join(known)}.")
        chosen: dict[str, Any] = {
            key: self._choice(key, entries[key], switches[key]) for key in entries if key in switches
        }
        aliases = self._lists("aliases", entries.get("aliases", {}))
        item_aliases = self._lists("item_aliases", entries.get("item_aliases", {}))
        self._check_fields("aliases", aliases, _alias_fields())
        self._check_fields("item_aliases", item_aliases, [field.name for field in spec.ITEM_FIELDS])
        core_names = {field.name for field in spec.CORE_FIELDS}
        ruleset = replace(
            Ruleset(**chosen),
            name=self._text("name", entries.get("name", self.where)),
            collect_path=self._collect_path(entries.get("collect_path", spec.COLLECT_PATH)),
            dedup_window=self._window(entries.get("dedup_window", "off")),
            core_fields=_extended(spec.CORE_FIELDS, aliases),
            exact_fields=_extended(
                spec.EXACT_FIELDS, {name: added for name, added in aliases.items() if name not in core_names}
            ),
            item_containers=_extended((spec.ITEM_CONTAINERS,), aliases)[0],
            item_fields=_extended(spec.ITEM_FIELDS, item_aliases),
            events=(*spec.EVENTS, *self._events(entries.get("events", {}))),
        )
        self._check_claims(ruleset)
        return ruleset

    def _error(self, problem: str, hint: str) -> RulesetError:
        return RulesetError(f"{self.where}: {problem}", hint)

    def _choice(self, key: str, value: object, accepted: tuple[str, ...]) -> str:
        if value not in accepted:
            raise self._error(f"{key} = {value!r} is not accepted", f"Accepted values: {', '.join(accepted)}.")
        return str(value)

    def _text(self, key: str, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._error(f"{key} = {value!r} is not accepted", f"Accepted values: {key} is a text.")
        return value

    def _lists(self, key: str, table: object) -> dict[str, list[str]]:
        if not isinstance(table, dict):
            raise self._error(f"{key} = {table!r} is not accepted", f"Accepted values: [{key}] is a table.")
        for name, values in table.items():
            is_list = isinstance(values, list) and all(isinstance(value, str) and value for value in values)
            if not is_list:
                raise self._error(f"{key}.{name} = {values!r} is not accepted", "Accepted values: a list of names.")
        return table

    def _check_fields(self, key: str, table: dict[str, list[str]], fields: list[str]) -> None:
        for name in table:
            if name not in fields:
                raise self._error(f"unknown key {key}.{name}", f"Accepted values: {', '.join(fields)}.")

    def _events(self, table: object) -> list[tuple[str, str]]:
        if not isinstance(table, dict):
            raise self._error(f"events = {table!r} is not accepted", "Accepted values: [events] is a table.")
        known = {value for value, _ in spec.EVENTS}
        added: dict[str, str] = {}
        for value, event in table.items():
            lowered = value.translate(ASCII_LOWER)
            if lowered in known or lowered in added:
                raise self._error(
                    f"events.{value} is claimed twice: the page or the file maps it already",
                    "Remove it, or map another value.",
                )
            added[lowered] = self._text(f"events.{value}", event)
        return list(added.items())

    def _collect_path(self, value: object) -> str:
        text = self._text("collect_path", value)
        if text.count("{account}") != 1 or text.count("{integration}") != 1:
            raise self._error(
                f"collect_path = {text!r} is not accepted",
                "Accepted values: a path with {account} and {integration}, each once.",
            )
        return text

    def _window(self, value: object) -> timedelta | None:
        if value == "off":
            return None
        match = _WINDOW.fullmatch(value) if isinstance(value, str) else None
        if not match:
            raise self._error(
                f"dedup_window = {value!r} is not accepted",
                "Accepted values: off, or a duration such as 30d, 12h, 15m, 10s.",
            )
        return timedelta(**{_WINDOW_UNITS[match[2]]: int(match[1])})

    def _check_claims(self, ruleset: Ruleset) -> None:
        containers = ruleset.item_containers
        by_fold = (*ruleset.core_fields, containers)
        self._check_unique("aliases", [(fold(name), field) for field in by_fold for name in field.accepted])
        exact = [(name, field) for field in ruleset.exact_fields for name in field.accepted]
        self._check_unique("aliases", exact)
        core = {fold(name): field for field in by_fold for name in field.accepted}
        for name, field in exact:
            other = core.get(fold(name))
            if other and other.name != field.name:
                raise self._claimed("aliases", name, other.name, field.name)
        self._check_unique(
            "item_aliases", [(fold(name), field) for field in ruleset.item_fields for name in field.accepted]
        )

    def _check_unique(self, key: str, claims: list[tuple[str, spec.Field]]) -> None:
        owners: dict[str, str] = {}
        for name, field in claims:
            owner = owners.setdefault(name, field.name)
            if owner != field.name:
                raise self._claimed(key, name, owner, field.name)

    def _claimed(self, key: str, name: str, first: str, second: str) -> RulesetError:
        return self._error(
            f"{key}: {name!r} is claimed twice, by {first} and by {second}",
            f"Remove it from one of {key}.{first} and {key}.{second}.",
        )


def _alias_fields() -> list[str]:
    fields = (*spec.CORE_FIELDS, *spec.EXACT_FIELDS, spec.ITEM_CONTAINERS)
    return list(dict.fromkeys(field.name for field in fields))


def _extended(fields: tuple[spec.Field, ...], added: dict[str, list[str]]) -> tuple[spec.Field, ...]:
    return tuple(field._replace(accepted=(*field.accepted, *added.get(field.name, ()))) for field in fields)
