"""Names of personal values that the page does not know, and whose they can be, each with its source (rules 9.1).

They decide what is hidden in a raw record, and fill no column. A ruleset that reads such a name as a field of another
kind takes it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from etl.rules.ruleset import fold

#: The trait of streets and post boxes. Its values have no normal form, and so no hash.
STREET: Final = "street"

#: The trait of a client's address, of the user who is logged in, and of credentials: such a value becomes `-`.
CLIENT: Final = "client"


class PersonalName(NamedTuple):
    """A name of personal values, as its source writes it, and the trait that the values are."""

    name: str
    trait: str
    source: str


_HTML: Final = "HTML: autofill field names"
_OPENID: Final = "OpenID Connect Core 1.0, 5.1"
_SCHEMA: Final = "schema.org"
_LDAP: Final = "RFC 4519"
_SHOPIFY: Final = "Shopify: Address"
_STRIPE: Final = "Stripe: Address, Person"
_WOO: Final = "WooCommerce REST API: Order"
_MAILCHIMP: Final = "Mailchimp: merge tags"
_META: Final = "Meta: lead forms"

PERSONAL_NAMES: Final = (
    PersonalName("tel", "phone", _HTML),
    PersonalName("mobile", "phone", "RFC 4524"),
    PersonalName("cell", "phone", "RFC 6350: TEL;TYPE=cell"),
    PersonalName("fax", "phone", "RFC 6350: TEL;TYPE=fax"),
    PersonalName("faxNumber", "phone", _SCHEMA),
    PersonalName("msisdn", "phone", "3GPP TS 23.003"),
    PersonalName("fname", "first_name", _MAILCHIMP),
    PersonalName("given-name", "first_name", _HTML),
    PersonalName("additional-name", "first_name", _HTML),
    PersonalName("middle_name", "first_name", _OPENID),
    PersonalName("lname", "last_name", _MAILCHIMP),
    PersonalName("family-name", "last_name", _HTML),
    PersonalName("surname", "last_name", _LDAP),
    PersonalName("nickname", "full_name", _HTML),
    PersonalName("bday", "birthdate", _HTML),
    PersonalName("birthday", "birthdate", _MAILCHIMP),
    PersonalName("dob", "birthdate", _STRIPE),
    PersonalName("date_of_birth", "birthdate", _META),
    PersonalName("address-level2", "city", _HTML),
    PersonalName("addressLocality", "city", _SCHEMA),
    PersonalName("address-level1", "state", _HTML),
    PersonalName("addressRegion", "state", _SCHEMA),
    PersonalName("province", "state", _SHOPIFY),
    PersonalName("zip", "zipcode", _SHOPIFY),
    PersonalName("postal-code", "zipcode", _HTML),
    PersonalName("postcode", "zipcode", _WOO),
    PersonalName("address", STREET, _OPENID),
    PersonalName("adr", STREET, "RFC 6350"),
    PersonalName("street", STREET, _LDAP),
    PersonalName("street-address", STREET, _HTML),
    PersonalName("postalAddress", STREET, _LDAP),
    PersonalName("postOfficeBox", STREET, _LDAP),
    PersonalName("postOfficeBoxNumber", STREET, _SCHEMA),
    *(PersonalName(f"line{i}", STREET, _STRIPE) for i in (1, 2)),
    *(PersonalName(f"address{i}", STREET, _SHOPIFY) for i in (1, 2)),
    *(PersonalName(f"address-line{i}", STREET, _HTML) for i in (1, 2, 3)),
    PersonalName("REMOTE_USER", CLIENT, "RFC 3875: CGI"),
    PersonalName("AUTH_USER", CLIENT, "IIS: server variables"),
    PersonalName("LOGON_USER", CLIENT, "IIS: server variables"),
    PersonalName("cs-username", CLIENT, "IIS: W3C logging"),
    PersonalName("ClientUsername", CLIENT, "Traefik: access logs"),
)


class Owner(NamedTuple):
    """A word before a personal name that says whose it is, as `billing` in `billing_city`, with its source."""

    word: str
    source: str


OWNERS: Final = (
    Owner("billing", _HTML),
    Owner("shipping", _HTML),
    Owner("home", _HTML),
    Owner("work", _HTML),
    Owner("customer", _SCHEMA),
    Owner("buyer", _SCHEMA),
    Owner("recipient", _SCHEMA),
    Owner("payer", "PayPal: IPN variables"),
    Owner("contact", "PayPal: IPN variables"),
    Owner("address", "PayPal: IPN variables"),
)

#: How folded names begin whose values are not personal under a personal name.
IMPERSONAL: Final = "country"

#: Folded names of the user who is logged in, in an object that has a name of both of the other sets: the record of a
#: log. Elsewhere they may be the sender's own names of a customer's number.
LOG_USERS: Final = frozenset(("user", "userid", "username", "authuser"))
_LOG_METHODS: Final = frozenset(("method", "requestmethod", "httpmethod", "verb", "request", "httprequest"))
_LOG_STATUSES: Final = frozenset(("status", "statuscode", "code", "responsestatus", "httpstatus"))

#: Trait by folded name.
TRAITS: Final = {fold(row.name): row.trait for row in PERSONAL_NAMES}


def is_of_log(folded: Iterable[str]) -> bool:
    """Returns whether an object with these folded names is the record of a log.

    Examples:
        >>> is_of_log(("user", "method", "status")), is_of_log(("user", "status"))
        (True, False)
    """
    names = frozenset(folded)
    return not (names.isdisjoint(_LOG_METHODS) or names.isdisjoint(_LOG_STATUSES))
