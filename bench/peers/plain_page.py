"""The page's names and events, for the peers in Python: written from the page, not from ours."""

from __future__ import annotations

from typing import Final, NamedTuple


class Field(NamedTuple):
    """A field and its accepted names, the best first; those of core fields are folded."""

    name: str
    accepted: tuple[str, ...]


CORE: Final = (
    Field("click_id", ("clickid", "click")),
    Field("ref_id", ("refid", "ref")),
    Field("email", ("email",)),
    Field("value", ("value", "commission", "amount", "revenue", "total", "totalvalue", "eventvalue")),
    Field("currency", ("currency", "cur", "curr")),
    Field("event_name", ("eventname", "event")),
    Field("transaction_id", ("transactionid", "transaction")),
    Field("brand_name", ("brandname", "brand")),
    Field("timestamp", ("timestamp", "time", "date", "datetime", "createdat")),
)
EXACT: Final = (
    Field("conversion_type", ("conversion_type",)),
    Field("email", ("email",)),
    Field("first_name", ("first_name", "firstName")),
    Field("last_name", ("last_name", "lastName")),
    Field("full_name", ("full_name", "fullName", "name")),
    Field("phone", ("phone",)),
    Field("birthdate", ("birthdate",)),
    Field("city", ("city",)),
    Field("state", ("state",)),
    Field("zipcode", ("zipcode",)),
    Field("country", ("country",)),
)
ITEM_CONTAINERS: Final = ("items", "line_items", "products")
ITEM_FIELDS: Final = (
    Field("item_id", ("id", "product_id", "item_id")),
    Field("name", ("name", "title", "label", "product_name", "item_name")),
    Field("variant", ("variant", "variant_id", "product_variant", "item_variant")),
    Field("price", ("price", "product_price", "item_price")),
    Field("quantity", ("qty", "quantity", "product_quantity", "item_quantity")),
)
EVENTS: Final = {
    **dict.fromkeys(("click", "outbound_click", "outboundclick"), "OutboundClick"),
    **dict.fromkeys(("form_submit", "formsubmit"), "FormSubmit"),
    **dict.fromkeys(("lead", "cpl"), "Lead"),
    **dict.fromkeys(
        ("registration", "complete_registration", "completeregistration", "acquisition", "cpa"), "CompleteRegistration"
    ),
    **dict.fromkeys(("purchase", "sale", "cps"), "Purchase"),
}
