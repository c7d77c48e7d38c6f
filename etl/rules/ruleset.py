"""Defines the ruleset: the page's tables, a user's additions, and switches for what the page leaves open (rules 11)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cached_property
from typing import Final, NamedTuple

import orjson

from etl.rules import page
from etl.rules.body_paths import BodyPath, Condition

#: Version of the rulings in `rules.md`. It grows with a release by which a record may become other rows: a warehouse
#: then says which inputs were judged by earlier rulings, and CHANGELOG.md says what changes.
RULES_VERSION: Final = 2

_FOLD: Final = str.maketrans({**{chr(c): chr(c + 32) for c in range(ord("A"), ord("Z") + 1)}, "_": None, "-": None})

#: Table for `str.translate` that lowers ASCII letters only.
ASCII_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def fold(name: str) -> str:
    """Returns a name in ASCII lower case without `_` and `-`, the form in which core fields are matched.

    Source: "How the Endpoint Reads Parameters"; rules 2.1.

    Examples:
        >>> fold("Click-ID"), fold("total_value"), fold("ÉVENT"), fold("")
        ('clickid', 'totalvalue', 'Évent', '')
    """
    return name.translate(_FOLD)


#: Parts of the collect path within a text: a slash, what a placeholder stands for, and what ends the path.
_SLASH: Final = r"(?:\\?/|%2[Ff])"
_ENDS: Final = r"\s?#&\"'<>|(){}\[\],;="
_SEGMENT: Final = rf"[^/\\:*${_ENDS}][^/\\{_ENDS}]*"
_PATH_END: Final = rf"(?:\\?/)?(?:[{_ENDS}:]|\\[^/]|$)"


class Switch(NamedTuple):
    """A documented assumption that a ruleset can change: its key, accepted values (default first), ruling."""

    key: str
    accepted: tuple[str, ...]
    source: str


SWITCHES: Final = (
    Switch("array_bodies", ("malformed", "records"), "rules 1.3"),
    Switch("parameter_order", ("query_first", "body_first"), "rules 1.4"),
    Switch("alias_order", ("listed", "payload"), "rules 2.2"),
    Switch("email_identity", ("folded", "exact"), "rules 2.5"),
    Switch("conversion_type_match", ("exact", "trimmed"), "rules 5.2"),
    Switch("dedup_scope", ("event", "transaction", "off"), "rules 6.3"),
    Switch("items_names", ("folded", "exact"), "rules 8.1"),
    Switch("item_field_names", ("folded", "exact"), "rules 8.1"),
    Switch("event_name_match", ("verbatim", "listed"), "rules 5.1"),
    Switch("timestamp_unit", ("seconds", "milliseconds"), "rules 6.2"),
)

#: Fields of `Ruleset` that later versions added. Rulesets that do not use them keep the digest that earlier runs
#: recorded.
_LATER: Final = (
    *("paths", "minor_units", "minor_unit_digits", "left_out", "test_order", "body_charset"),
    *("event_name_match", "timestamp_unit", "array_bodies"),
)
#: Fields that decide nothing.
_WITHOUT_EFFECT: Final = ("name", "recognition")


class Recognition(NamedTuple):
    """How records that a ruleset reads are recognised, whatever ruleset is in use.

    Attributes:
        what: What such a record is, with its article, for messages.
        names: Sets of parameter names; a record that has all names of one set is recognised.
    """

    what: str
    names: tuple[tuple[str, ...], ...]


#: A path without query, of words and placeholders.
_COLLECT_PATH: Final = re.compile(r"(?:[^\s?#{}]|\{account\}|\{integration\})+")


def is_collect_path(text: str) -> bool:
    """Whether a text can be a collect path: a path with a fixed word, and with each placeholder once at most.

    Examples:
        >>> [is_collect_path(text) for text in ("/pb.php", "/{account}/pb", "/{account}", "/{slug}/pb", "/pb?x=1")]
        [True, True, False, False, False]
    """
    is_once = text.count("{account}") < 2 and text.count("{integration}") < 2
    return is_once and "://" not in text and bool(_COLLECT_PATH.fullmatch(text) and word_of(text))


def word_of(collect_path: str) -> str:
    """Returns the longest word of a collect path; empty if it has none."""
    words = re.findall(r"[A-Za-z0-9_-]+", re.sub(r"\{\w+\}", "/", collect_path))
    return max(words, key=len, default="")


@dataclass(frozen=True)
class Ruleset:
    """The rules of one run, immutable. `Ruleset()` holds the rules of the page. `SWITCHES` describes the switches.

    Attributes:
        name: The ruleset's name in the run's summary.
        core_fields: Fields matched by folded name, accepted names in order of precedence.
        exact_fields: Fields matched as written.
        item_containers: The accepted names of an items array.
        item_fields: Fields of an item.
        events: Pairs of a conversion_type value and its event.
        paths: Paths into a JSON body that are read as parameters, in order of precedence.
        collect_path: Template of a postback's path; it may leave out account and integration.
        minor_units: Parameters whose values count in minor units of their currency, such as cents.
        minor_unit_digits: Currencies whose minor unit is not that of ISO 4217, and the power of ten that it is.
        dedup_window: How long after the kept record a repetition counts as a duplicate; None means for ever.
        left_out: Conditions on records that are skipped.
        test_order: Conditions on records that are tests of their vendor.
        body_charset: Name of the character encoding of forms, or `{parameter}` where a parameter names it. None: UTF-8.
        recognition: How the records of its vendor are recognised; None if nothing recognises them.
    """

    name: str = "builtin"
    core_fields: tuple[page.Field, ...] = page.CORE_FIELDS
    exact_fields: tuple[page.Field, ...] = page.EXACT_FIELDS
    item_containers: page.Field = page.ITEM_CONTAINERS
    item_fields: tuple[page.Field, ...] = page.ITEM_FIELDS
    events: tuple[tuple[str, str], ...] = page.EVENTS
    paths: tuple[BodyPath, ...] = ()
    collect_path: str = page.COLLECT_PATH
    parameter_order: str = "query_first"
    alias_order: str = "listed"
    email_identity: str = "folded"
    conversion_type_match: str = "exact"
    dedup_scope: str = "event"
    dedup_window: timedelta | None = None
    items_names: str = "folded"
    item_field_names: str = "folded"
    minor_units: tuple[str, ...] = ()
    minor_unit_digits: tuple[tuple[str, int], ...] = ()
    event_name_match: str = "verbatim"
    timestamp_unit: str = "seconds"
    array_bodies: str = "malformed"
    left_out: tuple[Condition, ...] = ()
    test_order: tuple[Condition, ...] = ()
    body_charset: str | None = None
    recognition: Recognition | None = None

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 (hex) of all rules and of the version of the rulings, without the ruleset's name."""
        return self.digest_under(RULES_VERSION)

    def digest_under(self, version: int) -> str:
        """Returns the digest that this ruleset has under a version of the rulings; version 1 had no number."""
        rules = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _WITHOUT_EFFECT}
        for later in _LATER:
            if rules[later] == getattr(Ruleset, later):
                del rules[later]
        if version > 1:
            rules["rules_version"] = version
        rules["dedup_window"] = self.dedup_window and self.dedup_window.total_seconds()
        return hashlib.sha256(orjson.dumps(rules, option=orjson.OPT_SORT_KEYS, default=list)).hexdigest()

    @cached_property
    def path_ranks(self) -> dict[str, tuple[int, str]]:
        """Rank (position in the file) and parameter of each path, by the path's name in JSON and in forms."""
        ranks: dict[str, tuple[int, str]] = {}
        for rank, path in enumerate(self.paths):
            for name in (path.written, path.form_name):
                ranks.setdefault(name, (rank, path.parameter))
        return ranks

    @cached_property
    def followed_paths(self) -> tuple[BodyPath, ...]:
        """The paths whose values are read as parameters, and those that only conditions look at."""
        read = {path.written for path in self.paths}
        conditions = (condition.path for condition in (*self.left_out, *self.test_order))
        return (*self.paths, *{path.written: path for path in conditions if path.written not in read}.values())

    @cached_property
    def condition_names(self) -> frozenset[str]:
        """The folded names of parameters that conditions look at, as JSON and forms name them."""
        paths = [condition.path for condition in (*self.left_out, *self.test_order)]
        return frozenset(fold(name) for path in paths for name in (path.written, path.form_name))

    @cached_property
    def minor_unit_names(self) -> frozenset[str]:
        """The folded names of parameters in minor units, as JSON and forms name them."""
        forms = {path.written: path.form_name for path in self.paths}
        return frozenset(fold(name) for written in self.minor_units for name in (written, forms.get(written, written)))

    @cached_property
    def has_minor_prices(self) -> bool:
        """Whether the prices of items count in minor units: `minor_units` names one, such as `items.price`."""
        containers = {fold(name) for name in self.item_containers.accepted}
        containers |= {fold(path.written) for path in self.paths if fold(path.parameter) in containers}
        prices = {fold(name) for field in self.item_fields if field.name == "price" for name in field.accepted}
        named = (fold(written.replace("[]", "")).rpartition(".") for written in self.minor_units)
        return any(before in containers and name in prices for before, _, name in named)

    @cached_property
    def path_roots(self) -> frozenset[str]:
        """The top-level names of a body whose values the paths lead into."""
        return frozenset(str(path.steps[0]) for path in self.followed_paths if len(path.steps) > 1)

    @property
    def collect_pattern(self) -> str:
        """The collect path as a regular expression with named groups; any prefix and a trailing slash are allowed.

        The group `route` is the path itself; `account` and `integration` are groups where the path says them.
        """
        template = re.escape(self.collect_path.strip("/"))
        for placeholder in ("account", "integration"):
            template = template.replace(re.escape("{" + placeholder + "}"), f"(?P<{placeholder}>[^/]+)")
        return f"(?P<route>/{template})/?$"

    @cached_property
    def collect_text_pattern(self) -> str:
        r"""The collect path within any text, as a regular expression without lookarounds (rules 1.3d).

        The path may stand as it is, with JSON's `\/`, or percent-encoded. A template of a route is no path.

        Examples:
            >>> held = re.compile(Ruleset().collect_text_pattern)
            >>> [bool(held.search(text)) for text in ("GET /a/collect/b?x", r"\/a\/collect\/b", "%2Fa%2Fcollect%2Fb")]
            [True, True, True]
            >>> [bool(held.search(text)) for text in ("/:account/collect/:slug", "/a/collect/b/c")]
            [False, False]
        """
        template = re.escape(self.collect_path.strip("/")).replace("/", "\0")
        for placeholder in ("account", "integration"):
            template = template.replace(re.escape("{" + placeholder + "}"), _SEGMENT)
        return _SLASH + template.replace("\0", _SLASH) + _PATH_END

    @property
    def collect_word(self) -> bytes:
        """The longest word of the collect path; every postback's log line contains it, whatever the log escapes."""
        return word_of(self.collect_path).encode()
