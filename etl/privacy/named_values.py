"""Decides by its name whether a value is personal, and replaces values and addresses (rules 9.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from etl.options import Pii
from etl.privacy.addresses import DROPPED, HASHED, MARK, AddressRedactor, decoded, percent_decoded
from etl.privacy.broken_texts import LONG_NUMBER
from etl.rules import page
from etl.rules.ruleset import Ruleset, fold

#: Returned by `NamedValueRedactor.trait` for a parameter that holds a client's address or credentials.
ADDRESS: Final = "address"

_IPV4: Final = re.compile(r"(?<![\w./-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w.-])")
_IPV6: Final = re.compile(
    r"(?<![\w:./])(?=[0-9A-Fa-f:.]*::|(?:[0-9A-Fa-f]{1,4}:){7})[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z]+)?(?!\w)"
)

#: A value that is hidden.
_HIDDEN: Final = re.compile(f"{HASHED}[0-9a-f]{{64}}|{DROPPED}|{MARK}[0-9]+{MARK}")
#: Folded names of texts that are the body of a request.
_BODY_NAMES: Final = frozenset(("body", "rawbody", "requestbody", "postdata", "payload"))

#: Separators of a name that is a path: `customer[phone][0]`, `customer.phone`, `cs(Cookie)`.
_STEPS: Final = re.compile(r"[\[\]().]+[0-9]*")

#: A name that contains the name of one of these traits holds that trait: `customer_email`, `phone2`.
_PARTIAL_NAMES: Final = {
    fold(trait): trait for trait in ("email", "phone", "first_name", "last_name", "full_name", "birthdate", "zipcode")
}

#: A text without `::` and with at most 6 colons contains no IPv6 address, which has seven.
_COLONS_OF_A_LINE: Final = 6

_ADDRESS_NAMES: Final = frozenset(
    {"ip", "clientip", "remoteip", "remoteaddr", "ipaddress", "xforwardedfor", "xrealip", "cfconnectingip"}
    | {"trueclientip", "forwarded", "cookie", "setcookie", "authorization", "proxyauthorization"}
)


class NamedValueRedactor(AddressRedactor):
    """Replaces values by their names.

    Attributes:
        traits: Trait by folded parameter name.
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
        fields = (*ruleset.core_fields, *ruleset.exact_fields, ruleset.item_containers)
        self._known = {fold(name) for field in fields for name in field.accepted}
        self._known |= {fold(str(path.steps[0])) for path in ruleset.paths}

    def hidden_value(self, trait: str, text: str) -> str:
        """Returns the replacement of the value of a trait, which may be percent-encoded."""
        if _HIDDEN.fullmatch(text):
            return text
        return "-" if trait == ADDRESS else self.placeholder(trait, percent_decoded(text), None)

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
        last = last_step(key)
        if last in _ADDRESS_NAMES:
            return ADDRESS
        if last in self.traits:
            return self.traits[last]
        return next((trait for part, trait in _PARTIAL_NAMES.items() if part in key), None)

    def scrub(self, text: str) -> str:
        """Replaces client addresses in a text by `-`, and e-mail addresses by placeholders."""
        text = _IPV4.sub("-", text)
        if "::" in text or text.count(":") > _COLONS_OF_A_LINE:
            text = _IPV6.sub("-", text)
        return self.plain_addresses(text)


def last_step(key: str) -> str:
    """Returns the last part of a name that is a path: `city` of `customer[city]`, `customer.city` and `city[0]`."""
    return next((step for step in reversed(_STEPS.split(key)) if step), "")
