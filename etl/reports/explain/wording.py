"""The sentences of an explanation, each beside the sentence of the page or the ruling that it rests on.

No rule is decided here: a row is chosen by what the pipeline did.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Wording(NamedTuple):
    """What a code of the pipeline means, in words, and where that is said."""

    code: str
    words: str
    source: str


#: What can become of a parameter.
USES: Final = (
    Wording("fills", "fills the field", "rules 2.2"),
    Wording("lost", "another parameter fills the field", "rules 2.2, 2.3"),
    Wording("empty", "empty, which counts as not sent", "rules 1.6"),
    Wording("not_scalar", "an object or array, which counts as not sent", "rules 1.5"),
    Wording("item", "the items come from it", "Items Array; rules 8.1"),
    Wording("no_item", "no items come from it", "Items Array; rules 8.1, 8.3"),
    Wording("stored", "stored without its prefix", "Passthrough Parameters; rules 7.4"),
    Wording("dropped", "past the fifth, so the endpoint drops it", "Passthrough Parameters; rules 7.4"),
    Wording("repeated", "the name came before: its first value stays", "rules 7.4"),
    Wording("refused", "a rejection has no items and passthroughs", "rules 8.5"),
    Wording("path_root", "the ruleset's paths lead into it", "rules 11.1"),
    Wording("bracket_in_json", "bracket names mean something in a query or form only", "rules 8.1"),
    Wording("near_miss", "nothing reads it", "rules 2.6"),
    Wording("unread", "nothing reads it", "rules 2.6"),
)
USE: Final = {row.code: row for row in USES}

EVENTS: Final = (
    Wording("event_name", "event_name was sent, which comes before all else", "Event Classification; rules 5.1"),
    Wording(
        "conversion_type",
        "the table of conversion types says so",
        "conversion_type to Event Mapping; rules 5.2",
    ),
    Wording(
        "automatic_commission",
        "no event_name, no conversion_type, and a commission above zero was sent",
        "Event Classification; rules 5.3",
    ),
    Wording(
        "automatic_lead",
        "no event_name, no conversion_type, and no commission above zero",
        "Event Classification; rules 5.3",
    ),
    Wording("", "the table of conversion types has no such value", "conversion_type to Event Mapping; rules 5.2"),
)
EVENT: Final = {row.code: row for row in EVENTS}

TIMES: Final = (
    Wording("parameter", "the timestamp, in seconds", "Transaction and Timing; rules 6.2"),
    Wording("received", "no timestamp in seconds, so the time received", "Limits and Defaults; rules 6.2"),
)
TIME: Final = {row.code: row for row in TIMES}

NAMES: Final = (
    Wording("parts", "first and last name were sent apart", "Customer Traits; rules 7.1"),
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
    Wording("query_fields", "the query, which the source gives as an object", "rules 1.2"),
    Wording("body", "the body, a form", "rules 1.3"),
    Wording("fields", "the JSON object", "rules 1.3, 1.5"),
)
