"""Holds the wordings of explanations, each with the sentence of the page or the ruling that it rests on.

The pipeline's codes choose the rows; no rule is decided here.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Wording(NamedTuple):
    """The meaning of a code of the pipeline in words, and its source."""

    code: str
    words: str
    source: str


#: How a parameter can be used.
USES: Final = (
    Wording("fills", "fills the field", "rules 2.2"),
    Wording("lost", "another parameter fills the field", "rules 2.2, 2.3"),
    Wording("empty", "the value is empty, which counts as not sent", "rules 1.6"),
    Wording("not_scalar", "the value is an object or array, which counts as not sent", "rules 1.5"),
    Wording("item", "the items come from it", "Items Array; rules 8.1"),
    Wording("no_item", "no items come from it", "Items Array; rules 8.1, 8.3"),
    Wording("stored", "stored without its prefix", "Passthrough Parameters; rules 7.4"),
    Wording("dropped", "the endpoint stores only the first five", "Passthrough Parameters; rules 7.4"),
    Wording("repeated", "the name was sent before, and the first value is kept", "rules 7.4"),
    Wording("refused", "a rejection has no items or passthroughs", "rules 8.5"),
    Wording("path_root", "the ruleset reads values inside it", "rules 11.1"),
    Wording("condition", "the ruleset leaves records out, or knows tests, by its value", "rules 11.2"),
    Wording("bracket_in_json", "bracket names are read only in a query or form", "rules 8.1"),
    Wording("near_miss", "the name is not read", "rules 2.6"),
    Wording("unread", "the name is not read", "rules 2.6"),
)
USE: Final = {row.code: row for row in USES}

EVENTS: Final = (
    Wording(
        "event_name", "event_name was sent, and it comes before every other rule", "Event Classification; rules 5.1"
    ),
    Wording(
        "conversion_type",
        "the table of conversion types maps it to this event",
        "conversion_type to Event Mapping; rules 5.2",
    ),
    Wording(
        "automatic_commission",
        "no event_name and no conversion_type were sent, and the commission is above zero",
        "Event Classification; rules 5.3",
    ),
    Wording(
        "automatic_lead",
        "no event_name, no conversion_type and no commission above zero were sent",
        "Event Classification; rules 5.3",
    ),
    Wording("", "the table of conversion types has no such value", "conversion_type to Event Mapping; rules 5.2"),
)
EVENT: Final = {row.code: row for row in EVENTS}

TIMES: Final = (
    Wording("parameter", "from the timestamp", "Transaction and Timing; rules 6.2"),
    Wording(
        "received", "no timestamp in seconds was sent, so the time received is used", "Limits and Defaults; rules 6.2"
    ),
)
TIME: Final = {row.code: row for row in TIMES}

NAMES: Final = (
    Wording("parts", "first and last name were sent separately", "Customer Traits; rules 7.1"),
    Wording("full_name", "full_name fills first and last name", "Customer Traits; rules 7.2"),
)
NAME: Final = {row.code: row for row in NAMES}

CURRENCY_FAULTS: Final = (
    Wording("invalid", "not three letters: kept as sent", "rules 4.3"),
    Wording("unknown", "ISO 4217 does not list it as active", "rules 4.3"),
)
CURRENCY_FAULT: Final = {row.code: row for row in CURRENCY_FAULTS}

#: Columns of a request that hold parameters, in the order of rules 1.4's default.
ORIGINS: Final = (
    Wording("query", "the query", "rules 1.2"),
    Wording("query_fields", "the query, given as an object", "rules 1.2"),
    Wording("body", "the body, a form", "rules 1.3"),
    Wording("fields", "the JSON object", "rules 1.3, 1.5"),
)
