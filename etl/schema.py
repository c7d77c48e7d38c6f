"""Every column of every table, and of the frames between the steps: name, type and meaning. This is the contract."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import polars as pl

from etl.columnar.field_lists import FIELD

INSTANT: Final = pl.Datetime("us", "UTC")
MONEY: Final = pl.Decimal(38, 9)

#: A hundred million amounts below this limit fit into a sum of type MONEY; sums by polars leave larger amounts out.
SUMMABLE: Final = 10**20

ISSUE: Final = pl.Struct({"code": pl.String, "parameter": pl.String, "detail": pl.String})


class Column(NamedTuple):
    """A column: its name, its polars type, and the meaning of a value."""

    name: str
    dtype: pl.DataType
    meaning: str

    @property
    def type_name(self) -> str:
        """The name of the column's type in the contract."""
        return _TYPE_NAMES.get(str(self.dtype), str(self.dtype))


_TYPE_NAMES: Final = {
    "Datetime(time_unit='us', time_zone='UTC')": "Datetime(us, UTC)",
    "Decimal(precision=38, scale=9)": "Decimal(38, 9)",
    "List(Struct({'code': String, 'parameter': String, 'detail': String}))": (
        "List(Struct(code, parameter, detail: String))"
    ),
    "List(String)": "List(String)",
}


class Table(NamedTuple):
    """A table: its name, what one row is, and its columns in order."""

    name: str
    one_row: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def schema(self) -> pl.Schema:
        """The columns as a polars schema."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def empty(self) -> pl.DataFrame:
        """Returns a frame with all columns and no rows."""
        return _empty(self)


@cache
def _empty(table: Table) -> pl.DataFrame:
    return pl.DataFrame(schema=table.schema)


TEXT: Final = pl.String()
INT: Final = pl.Int64()
SMALL: Final = pl.Int32()
TRUTH: Final = pl.Boolean()

#: What a column of text says that may hold an e-mail address, which `--pii` hides (rules 9.1).
_SENT: Final = "as sent; --pii hides an e-mail address in it"

_LINEAGE: Final = (
    Column("source", TEXT, "the input's path as given"),
    Column("source_digest", TEXT, "SHA-256 of the input's decompressed bytes, hex"),
    Column("record_no", INT, "number of the line, or of the element of a JSON array, from 1"),
    Column("byte_offset", INT, "offset of the record in the decompressed input; null if records have no offsets"),
)

CONVERSIONS: Final = Table(
    "conversions",
    "a conversion the endpoint would have recorded",
    (
        Column("conversion_id", TEXT, "32 hex digits, a function of (source_digest, record_no)"),
        Column("account_id", TEXT, "from the path, or the option"),
        Column("integration", TEXT, "from the path, or the option"),
        Column("received_at", INSTANT, "when the endpoint received the request, by the log"),
        Column("occurred_at", INSTANT, "when the conversion happened: `timestamp`, else received_at"),
        Column("occurred_at_rule", TEXT, "source of occurred_at: parameter, received"),
        Column(
            "occurred_at_repaired", INSTANT, "the instant of a `timestamp` in a unit or notation other than seconds"
        ),
        Column("match_type", TEXT, "kind of match_key: click_id, ref_id, email"),
        Column(
            "match_key", TEXT, "the value that matches the conversion to a click; --pii hides an e-mail address in it"
        ),
        Column("match_param", TEXT, "the parameter that match_key came from, as spelled"),
        Column("click_id", TEXT, _SENT),
        Column("ref_id", TEXT, _SENT),
        Column("event", TEXT, "the resulting event"),
        Column(
            "event_rule", TEXT, "source of event: event_name, conversion_type, automatic_commission, automatic_lead"
        ),
        Column("conversion_type", TEXT, _SENT),
        Column("value", MONEY, "the monetary value; null if no value was sent or it cannot be read"),
        Column("value_param", TEXT, "the parameter that value came from, as spelled"),
        Column("value_repaired", MONEY, "the likely number in a value that cannot be read"),
        Column(
            "currency", TEXT, "upper case; as sent if it is not three letters, but --pii hides an e-mail address in it"
        ),
        Column(
            "currency_defaulted", TRUTH, "no currency was sent; currency is the default currency, or null without one"
        ),
        Column("transaction_id", TEXT, f"{_SENT}; deduplication compares it trimmed, as sent"),
        Column("brand_name", TEXT, _SENT),
        Column("email", TEXT, "as sent; null unless --pii keep"),
        Column("phone", TEXT, "as sent; null unless --pii keep"),
        Column("first_name", TEXT, "as sent, or from full_name; null unless --pii keep"),
        Column("last_name", TEXT, "as sent, or from full_name; null unless --pii keep"),
        Column("birthdate", TEXT, "as sent; null unless --pii keep"),
        Column("city", TEXT, "as sent; null unless --pii keep"),
        Column("state", TEXT, "as sent; null unless --pii keep"),
        Column("zipcode", TEXT, "as sent; null unless --pii keep"),
        Column("country", TEXT, _SENT),
        Column("name_rule", TEXT, "source of the names: parts, full_name; null without a name"),
        Column("email_sha256", TEXT, "hash of the trimmed lowercase address"),
        Column(
            "email_google_sha256",
            TEXT,
            "hash of the address, for gmail.com and googlemail.com without dots and +suffix",
        ),
        Column("phone_sha256", TEXT, "hash of the digits without leading zeros"),
        Column("phone_e164_sha256", TEXT, "hash of the same digits after a +"),
        Column("first_name_sha256", TEXT, "hash of the lowercase name without punctuation"),
        Column("last_name_sha256", TEXT, "hash of the lowercase name without punctuation"),
        Column("birthdate_sha256", TEXT, "hash of YYYYMMDD; null if the date cannot be read"),
        Column("city_sha256", TEXT, "hash of the lowercase city without punctuation and blanks"),
        Column("state_sha256", TEXT, "hash of two letters for the US, else like city_sha256"),
        Column("zipcode_sha256", TEXT, "hash without blanks and dashes, the first five for the US"),
        Column("country_sha256", TEXT, "hash of the two-letter code in lower case"),
        Column("item_count", SMALL, "number of its rows in items"),
        Column("passthrough_count", SMALL, "number of its rows in passthroughs, stored or not"),
        Column("issues", pl.List(ISSUE), "oddities of the conversion, in a fixed order; never null"),
        Column("http_method", TEXT, "method of the request; null for a bare payload"),
        Column("http_status", SMALL, "status of the response; null for a bare payload"),
        Column("client_ip", TEXT, "null unless --pii keep"),
        Column("user_agent", TEXT, "as logged; --pii hides an e-mail address in it"),
        *_LINEAGE,
        Column("currency_repaired", TEXT, "the currency that the text of an unreadable value says"),
    ),
)

#: Columns that tables of earlier versions of this tool lack; they are read as null.
LATER_COLUMNS: Final = frozenset(("currency_repaired",))

ISSUES: Final = Table(
    "issues",
    "an issue of a conversion, in a database: there the table takes the place of the list in conversions",
    (
        Column("conversion_id", TEXT, "the conversion"),
        Column("position", SMALL, "place in the list of issues, from 0"),
        Column("code", TEXT, "the issue"),
        Column("parameter", TEXT, "the parameter, as spelled"),
        Column("detail", TEXT, "what is odd; --pii hides an e-mail address in it"),
    ),
)

ITEMS: Final = Table(
    "items",
    "an item of a conversion",
    (
        Column("conversion_id", TEXT, "the conversion"),
        Column("position", SMALL, "place in the array that was sent, from 0"),
        Column("item_id", TEXT, "the item or SKU identifier; --pii hides an e-mail address in it"),
        Column("name", TEXT, "the item's name; --pii hides an e-mail address in it"),
        Column("variant", TEXT, "the item's variant; --pii hides an e-mail address in it"),
        Column("price", MONEY, "the item's price; null if no price was sent or it cannot be read"),
        Column("quantity", MONEY, "number of units; null if no quantity was sent or it cannot be read"),
    ),
)

PASSTHROUGHS: Final = Table(
    "passthroughs",
    "a passthrough of a conversion",
    (
        Column("conversion_id", TEXT, "the conversion"),
        Column("position", SMALL, "place among the distinct names that were sent, from 0"),
        Column("name", TEXT, "name of the parameter without xat_; --pii hides an e-mail address in it"),
        Column(
            "value",
            TEXT,
            "first non-empty value of the parameter; objects and arrays as compact JSON; --pii hides addresses in it",
        ),
        Column("stored", TRUTH, "false from the sixth on, which the endpoint drops"),
    ),
)

REJECTIONS: Final = Table(
    "rejections",
    "a record that did not become a conversion",
    (
        Column("rejection_id", TEXT, "32 hex digits, made like conversion_id"),
        Column("reason", TEXT, "the first of `reasons`"),
        Column("reasons", pl.List(TEXT), "all reasons that apply"),
        Column("message", TEXT, "the endpoint's answer, or what is wrong with the record"),
        Column("suggestion", TEXT, "a correction that the endpoint would accept"),
        Column("duplicate_of", TEXT, "of a duplicate: conversion_id of the record that was kept"),
        Column("duplicate_kind", TEXT, "of a duplicate: identical, conflicting (value, currency or match key differ)"),
        Column("account_id", TEXT, "from the path, or the option"),
        Column("integration", TEXT, "from the path, or the option"),
        Column("received_at", INSTANT, "when the endpoint received the request, by the log"),
        Column(
            "raw",
            TEXT,
            "the whole record, personal values replaced by --pii; null after `forget-person` or `loads retention`",
        ),
        Column("http_method", TEXT, "method of the request; null for a bare payload"),
        Column("http_status", SMALL, "status of the response; null for a bare payload"),
        *_LINEAGE,
        Column("user_agent", TEXT, "as logged; --pii hides an e-mail address in it"),
        Column(
            "match_type",
            TEXT,
            "click_id, ref_id, email; null if none was sent, or the rules were not applied to the record",
        ),
        Column(
            "match_key",
            TEXT,
            "the value that would have matched the conversion to a click; --pii hides an e-mail address in it",
        ),
        Column(
            "event",
            TEXT,
            "the event it would have been; null if its type is unknown, or the rules were not applied to the record",
        ),
        Column("conversion_type", TEXT, _SENT),
        Column("value", MONEY, "as in conversions"),
        Column("currency", TEXT, "as in conversions"),
        Column("transaction_id", TEXT, _SENT),
    ),
)

TABLES: Final = (CONVERSIONS, ITEMS, PASSTHROUGHS, REJECTIONS)

#: Columns of all tables that hold nothing but what is personal (rules 9.1), or the whole record.
PERSONAL_COLUMNS: Final = frozenset(
    (
        *("email", "phone", "first_name", "last_name", "birthdate", "city", "state", "zipcode", "client_ip", "raw"),
        *(name for name in CONVERSIONS.names if name.endswith("_sha256")),
    )
)

REQUESTS: Final = Table(
    "requests",
    "a record of an input, as read by the reader of its format",
    (
        *_LINEAGE,
        Column("fault", TEXT, "a skip reason, malformed_record or malformed_body; null for a request"),
        Column("fault_message", TEXT, "what is wrong with the record"),
        Column("received_at", INSTANT, "the time in the log or dump"),
        Column("http_method", TEXT, "null where the record has none"),
        Column("http_status", SMALL, "null where the record has none"),
        Column("client_ip", TEXT, "the first client address in the log"),
        Column("user_agent", TEXT, "null where the record has none"),
        Column("path", TEXT, "path of the request target, before the first `?`; null for a bare payload"),
        Column(
            "query",
            TEXT,
            "part of the request target after the first `?`, still encoded; null or empty without a query",
        ),
        Column(
            "query_fields",
            pl.List(FIELD),
            "fields of a query that the input holds as an object; null if it is in `query`",
        ),
        Column("body", TEXT, "JSON or form text, still encoded; null without a body"),
        Column("fields", pl.List(FIELD), "fields of a body that the reader has parsed; null if it is in `body`"),
        Column("is_body_logged", TRUTH, "the input would show a body if the request had one"),
        Column("raw", TEXT, "the whole record as text"),
        Column("layout", TEXT, "of a table's row: its notation and its columns, for redaction"),
    ),
)

PARAMS: Final = Table(
    "params",
    "a parameter of a postback, in the request's order",
    (
        Column("row", pl.UInt32(), "index of the postback in its frame"),
        Column("name", TEXT, "the decoded name"),
        Column("value", TEXT, "the decoded value; JSON text for an object or array; never null"),
        Column("is_structure", TRUTH, "the value is a JSON object or array"),
        Column("is_json", TRUTH, "the parameter is from a JSON body, where brackets in names have no meaning"),
    ),
)

KEYS: Final = Table(
    "keys",
    "a conversion whose transaction id can repeat an earlier id: the values that deduplication compares",
    (
        Column("conversion_id", TEXT, "the conversion"),
        Column("source_digest", TEXT, "decides between equal received_at"),
        Column("record_no", INT, "decides between equal source_digest"),
        Column("byte_offset", INT, "offset of the record, to read it again"),
        Column("received_at", INSTANT, "the earliest conversion of a key is kept"),
        Column("key_hash", pl.UInt64(), "hash of the four columns of the key"),
        Column("account_id", TEXT, "part of the key"),
        Column("integration", TEXT, "part of the key"),
        Column("event", TEXT, "part of the key; null if the ruleset excludes it from the key"),
        Column("transaction_key", TEXT, "part of the key: transaction_id, trimmed"),
        Column("value", MONEY, "a duplicate with a different value is conflicting"),
        Column("currency", TEXT, "a duplicate with a different currency is conflicting"),
        Column("match_digest", pl.UInt64(), "hash of the match key as sent; if different, a duplicate is conflicting"),
    ),
)

#: Columns whose texts are the tool's own words, hashes and ids, or hidden before, or the user's own as `source` is.
OWN_COLUMNS: Final = frozenset(
    (
        *("conversion_id", "rejection_id", "duplicate_of", "duplicate_kind", "source", "source_digest", "raw"),
        *("occurred_at_rule", "match_type", "event_rule", "name_rule", "reason", "currency_repaired"),
    )
)


def is_sent(name: str) -> bool:
    """Returns whether a column of text may hold what the record's sender wrote: any but those of the tool's own."""
    return name not in OWN_COLUMNS and not name.endswith("_sha256")


#: Columns of the tables, and of `KEYS`, whose texts come from the record and may hold an address.
SENT_COLUMNS: Final = frozenset(
    name for table in (*TABLES, KEYS) for name, dtype in table.schema.items() if dtype == TEXT and is_sent(name)
)
