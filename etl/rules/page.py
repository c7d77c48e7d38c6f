"""Holds the endpoint's reference page as tables. Each row names the section or the ruling that it rests on.

The order of rows is their precedence. Where the page is silent, the row names a ruling (rules N.N). The ruleset
(`ruleset.py`) starts from these rows; a user's file adds to them.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Field(NamedTuple):
    """A field that a parameter can fill: its name, its accepted names in order of precedence, its source."""

    name: str
    accepted: tuple[str, ...]
    source: str


#: Fields matched by folded name: ASCII case ignored, underscores and hyphens removed (rules 2.1, 2.2).
CORE_FIELDS: Final = (
    Field("click_id", ("click_id", "clickid", "click"), "Identity Parameters"),
    Field("ref_id", ("ref_id", "refid", "ref"), "Identity Parameters"),
    Field("email", ("email",), "Identity Parameters: used as a fallback match key"),
    Field(
        "value",
        ("value", "commission", "amount", "revenue", "total", "total_value", "event_value"),
        "Conversion Value",
    ),
    Field("currency", ("currency", "cur", "curr"), "Conversion Value"),
    Field("event_name", ("event_name", "eventname", "event"), "Event Classification"),
    Field("transaction_id", ("transaction_id", "transactionid", "transaction"), "Transaction and Timing"),
    Field("brand_name", ("brand_name", "brandname", "brand"), "Transaction and Timing"),
    Field("timestamp", ("timestamp", "time", "date", "datetime", "created_at"), "Transaction and Timing"),
)

#: Fields matched exactly as written (rules 2.4).
EXACT_FIELDS: Final = (
    Field("conversion_type", ("conversion_type",), "Event Classification"),
    Field("email", ("email",), "Customer Traits"),
    Field("first_name", ("first_name", "firstName"), "Customer Traits"),
    Field("last_name", ("last_name", "lastName"), "Customer Traits"),
    Field("full_name", ("full_name", "fullName", "name"), "Customer Traits"),
    Field("phone", ("phone",), "Customer Traits"),
    Field("birthdate", ("birthdate",), "Customer Traits"),
    Field("city", ("city",), "Customer Traits"),
    Field("state", ("state",), "Customer Traits"),
    Field("zipcode", ("zipcode",), "Customer Traits"),
    Field("country", ("country",), "Customer Traits"),
)

#: Traits whose values are personal data (rules 9.1). The country is not.
PERSONAL_TRAITS: Final = (
    "email",
    "phone",
    "first_name",
    "last_name",
    "full_name",
    "birthdate",
    "city",
    "state",
    "zipcode",
)

#: The accepted names of an items array; the first usable array is read (rules 8.1).
ITEM_CONTAINERS: Final = Field("items", ("items", "line_items", "products"), "Items Array")

ITEM_FIELDS: Final = (
    Field("item_id", ("id", "product_id", "item_id"), "Items Array"),
    Field("name", ("name", "title", "label", "product_name", "item_name"), "Items Array"),
    Field("variant", ("variant", "variant_id", "product_variant", "item_variant"), "Items Array"),
    Field("price", ("price", "product_price", "item_price"), "Items Array"),
    Field("quantity", ("qty", "quantity", "product_quantity", "item_quantity"), "Items Array"),
)

#: conversion_type value -> event ("conversion_type to Event Mapping").
EVENTS: Final[tuple[tuple[str, str], ...]] = (
    ("click", "OutboundClick"),
    ("outbound_click", "OutboundClick"),
    ("outboundclick", "OutboundClick"),
    ("form_submit", "FormSubmit"),
    ("formsubmit", "FormSubmit"),
    ("lead", "Lead"),
    ("cpl", "Lead"),
    ("registration", "CompleteRegistration"),
    ("complete_registration", "CompleteRegistration"),
    ("completeregistration", "CompleteRegistration"),
    ("acquisition", "CompleteRegistration"),
    ("cpa", "CompleteRegistration"),
    ("purchase", "Purchase"),
    ("sale", "Purchase"),
    ("cps", "Purchase"),
)

#: "AnyTrack records a Purchase only if a positive value is sent as commission" (Event Classification).
PURCHASE_ALIAS: Final = "commission"
AUTOMATIC_PURCHASE: Final = "Purchase"
AUTOMATIC_DEFAULT: Final = "Lead"

PASSTHROUGH_PREFIX: Final = "xat_"
PASSTHROUGH_LIMIT: Final = 5

COLLECT_PATH: Final = "/{account}/collect/{integration}"
COLLECT_METHODS: Final = ("GET", "POST")


class Reason(NamedTuple):
    """A reason why a record becomes no conversion: its code, its message, its source, and what would cure it."""

    code: str
    message: str
    source: str
    cure: str = ""


#: Reasons for a rejection, in the order in which a record lists them (rules 5.4).
REJECTIONS: Final = (
    Reason(
        "malformed_record",
        "The record cannot be read",
        "rules 1.3",
        "message says where it breaks; --format and --formats read other formats",
    ),
    Reason("malformed_body", "The body is not a JSON object", "rules 1.3", "send the parameters as one JSON object"),
    Reason(
        "body_not_logged",
        "A POST without a query, in a log that holds no bodies: its conversion cannot be seen",
        "rules 1.7",
        "have the server log the bodies, or read a dump of the webhooks",
    ),
    Reason(
        "unread_postback",
        "The text holds the collect path, but no request was read from it",
        "rules 1.3d",
        "the column suggestion says what would read it",
    ),
    Reason(
        "missing_identity",
        "Missing click_id, ref_id and email",
        "Identity Parameters",
        "send click_id, ref_id or email",
    ),
    Reason(
        "unknown_conversion_type",
        "Unknown conversion_type",
        "conversion_type to Event Mapping",
        "send a type of the page, or add this one to a ruleset",
    ),
    Reason(
        "duplicate_transaction",
        "Duplicate transaction_id",
        "rules 6.3",
        "none is lost: duplicate_of names the conversion that was kept",
    ),
)

#: Reasons why a record is skipped: it is no postback, or the run's options exclude it.
SKIPS: Final = (
    Reason("not_a_postback", "the path or the method is not that of a postback", "rules 1.1"),
    Reason("not_a_request", "the request is `-`, empty or binary", "rules 1.1"),
    Reason("blank", "a blank line", "rules 1.1"),
    Reason("comment", "a comment or directive line", "rules 1.1"),
    Reason("header", "the header of a table, or a line outside the tables of a dump", "rules 1.1"),
    Reason("outside_period", "received before --since or not before --until", "rules 1.1"),
    Reason("no_received_at", "no time received to compare with --since or --until", "rules 1.1"),
    Reason("other_status", "an HTTP status that --status excludes", "rules 1.1"),
    Reason("left_out_by_ruleset", "the ruleset leaves records with such a type or status out", "rules 11.2"),
)

#: Characters of Unicode's White_Space property. Trimming removes them; a value of nothing else is empty (rules 1.6).
WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
