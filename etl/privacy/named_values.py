"""Decides by its name whether a value is personal, and replaces values and addresses (rules 9.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from etl.options import Pii
from etl.privacy.addresses import DROPPED, HASHED, LAYERS, MARK, AddressRedactor, decoded, percent_decoded
from etl.privacy.broken_texts import LONG_NUMBER
from etl.privacy.clients import hide_client_addresses
from etl.privacy.personal_names import CLIENT, IMPERSONAL, OWNERS, TRAITS
from etl.rules import page
from etl.rules.ruleset import Ruleset, fold

#: A value that is hidden.
_HIDDEN: Final = re.compile(f"{HASHED}[0-9a-f]{{64}}|{DROPPED}|{MARK}[0-9]+{MARK}")
#: Folded names of texts that are the body of a request.
_BODY_NAMES: Final = frozenset(("body", "rawbody", "requestbody", "postdata", "payload"))

#: Separators of a name that is a path: `customer[phone][0]`, `customer.phone`, `cs(Cookie)`; and marks that stand for a
#: lost `&`, as in `value=10;city=Oslo`.
_STEPS: Final = re.compile(r"[\[\]().;,|?&]+[0-9]*")

#: A name that contains the name of one of these traits holds that trait: `customer_email`, `phone2`.
_PARTIAL_NAMES: Final = {
    fold(trait): trait for trait in ("email", "phone", "first_name", "last_name", "full_name", "birthdate", "zipcode")
}

_OWNED: Final = re.compile("|".join(owner.word for owner in OWNERS))

#: Inside an item, this member is the item's name and not a person's.
ITEM_NAME: Final = "name"

_ADDRESS_NAMES: Final = frozenset(
    {"ip", "clientip", "remoteip", "remoteaddr", "ipaddress", "xforwardedfor", "xrealip", "cfconnectingip"}
    | {"trueclientip", "forwarded", "cookie", "setcookie", "authorization", "proxyauthorization"}
)


def traits_of(ruleset: Ruleset) -> dict[str, str]:
    """Returns the personal traits that a ruleset reads, by folded parameter name."""
    traits = {
        fold(name): field.name
        for field in ruleset.exact_fields
        if field.name in page.PERSONAL_TRAITS
        for name in field.accepted
    }
    for path in ruleset.paths:
        named = path.parameter, [step for step in path.steps if isinstance(step, str)][-1]
        if fold(named[0]) in traits:
            traits.setdefault(fold(named[1]), traits[fold(named[0])])
    return traits


class _Names(NamedTuple):
    """The folded names of a ruleset: its traits and those of `personal_names`, items, all that it reads, and others.

    Attributes:
        traits: Trait by name.
        containers: Names of items arrays.
        known: Names that are read.
        impersonal: Names of fields that are not personal.
    """

    traits: dict[str, str]
    containers: frozenset[str]
    known: frozenset[str]
    impersonal: frozenset[str]


@lru_cache(maxsize=16)
def _names_of(ruleset: Ruleset) -> _Names:
    """Returns the folded names of a ruleset."""
    fields = (*ruleset.core_fields, *ruleset.exact_fields, ruleset.item_containers)
    known = {fold(name) for field in fields for name in field.accepted}
    others = (field for field in fields if field.name not in page.PERSONAL_TRAITS)
    impersonal = frozenset(fold(name) for field in others for name in field.accepted)
    traits = {name: trait for name, trait in TRAITS.items() if name not in impersonal} | traits_of(ruleset)
    roots = {fold(str(path.steps[0])) for path in ruleset.paths}
    containers = frozenset(fold(name) for name in ruleset.item_containers.accepted)
    return _Names(traits, containers, frozenset(known | roots), impersonal)


class NamedValueRedactor(AddressRedactor):
    """Replaces values by their names.

    Attributes:
        traits: Trait by folded parameter name.
        containers: Folded names of items arrays.
    """

    def __init__(self, ruleset: Ruleset, pii: Pii) -> None:
        super().__init__(pii)
        self.traits, self.containers, self._known, self._impersonal = _names_of(ruleset)
        self._by_name: dict[tuple[Callable[[str], str], str], str | None] = {}

    def hidden_value(self, trait: str, text: str) -> str:
        """Returns the replacement of the value of a trait, which may be percent-encoded."""
        if _HIDDEN.fullmatch(text):
            return text
        return "-" if trait == CLIENT else self.placeholder(trait, percent_decoded(text), None)

    def _digits(self, text: str) -> str:
        """Replaces runs of seven or more digits, and telephone numbers with a plus."""
        return LONG_NUMBER.sub(lambda match: self.placeholder("phone", match[0], None), text)

    def is_body(self, name: str) -> bool:
        """Returns whether a text of this name is the body of a request."""
        return fold(name) in _BODY_NAMES

    def _is_read(self, form: str) -> bool:
        """Returns whether a form, or the query of a URL, contains a name that is read."""
        pieces = form.partition("?")[2].split("&") if "?" in form.partition("=")[0] else form.split("&")
        names = (decoded(piece.partition("=")[0]) for piece in pieces if "=" in piece)
        return any(
            name.startswith(page.PASSTHROUGH_PREFIX) or fold(name.partition("[")[0]) in self._known for name in names
        )

    def trait(self, name: str, decode: Callable[[str], str] = decoded) -> str | None:
        """Returns the personal trait that a parameter of this name holds, or CLIENT; None for other parameters."""
        known = decode, name
        if known not in self._by_name:
            plain = decode(name)
            for _ in range(LAYERS if decode is decoded and "%" in plain else 0):
                plain = decode(plain)
            self._by_name[known] = self._trait(fold("".join(plain.split())))
        return self._by_name[known]

    def _value(self, name: str, text: str, country: str | None, decode: Callable[[str], str]) -> str:
        """Returns a placeholder for a personal value, `-` for an address, or the value itself."""
        return self._held(self.trait(name, decode), text, country, decode)

    def _held(self, trait: str | None, text: str, country: str | None, decode: Callable[[str], str]) -> str:
        """Returns a placeholder for a value of a trait, `-` for a client, or the value itself."""
        if not text or trait is None:
            return text
        return "-" if trait == CLIENT else self.placeholder(trait, decode(text), country)

    def heir(self, name: str, above: str | None = None) -> str | None:
        """Returns the trait of what stands under a name of JSON: its own, else that of the names above it."""
        return self.trait(name, str) or (above if above and not is_impersonal(name) else None)

    def _trait(self, key: str) -> str | None:
        """Returns the trait of a folded name: by its last part, else by a trait's name inside the name or above it."""
        steps = steps_of(key)
        last = steps[-1]
        if last in _ADDRESS_NAMES:
            return CLIENT
        if last == ITEM_NAME and len(steps) > 1 and steps[-2] in self.containers:
            return None
        partial = (trait for part, trait in _PARTIAL_NAMES.items() if part in key)
        return self._named(last) or next(partial, None) or self._inherited(steps)

    def _inherited(self, steps: list[str]) -> str | None:
        """Returns the trait of the part of a name that is nearest to its last part and names one."""
        if steps[-1].startswith(IMPERSONAL):
            return None
        return next((trait for step in reversed(steps[:-1]) if (trait := self._named(step))), None)

    def _named(self, step: str) -> str | None:
        """Returns the trait that a part of a name names, perhaps behind the word for whose it is."""
        if step in self.traits or step in self._impersonal:
            return self.traits.get(step)
        owned = _OWNED.match(step)
        return self.traits.get(step[owned.end() :]) if owned else None

    def scrub(self, text: str) -> str:
        """Replaces client addresses in a text by `-`, and e-mail addresses by placeholders."""
        return self.plain_addresses(hide_client_addresses(text))


def steps_of(key: str) -> list[str]:
    """Returns the parts of a name that is a path, at least one: `customer` and `city` of `customer[city][0]`."""
    return [step for step in _STEPS.split(key) if step] or [""]


def is_impersonal(name: str) -> bool:
    """Returns whether the values of a name are not personal under any name, such as the country of an address."""
    return fold(name).startswith(IMPERSONAL)
