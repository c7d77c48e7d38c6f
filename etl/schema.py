"""Every column of every table and of the two frames inside the house: name, type, meaning. The contract, once."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from etl.columnar.field_lists import FIELD

INSTANT: Final = pl.Datetime("us", "UTC")
MONEY: Final = pl.Decimal(38, 9)

#: Amounts below it can be added up within MONEY a hundred million times over; sums leave others out.
SUMMABLE: Final = 10**20

ISSUE: Final = pl.Struct({"code": pl.String, "parameter": pl.String, "detail": pl.String})


class Column(NamedTuple):
    """One column: its name, its polars type, what a value means."""

    name: str
    dtype: pl.DataType
    meaning: str

    @property
    def type_name(self) -> str:
        """The contract's name of its type."""
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
    """One table: its name, what one row is, its columns in order."""

    name: str
    one_row: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pl.Schema:
        """The columns as a polars schema."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def empty(self) -> pl.DataFrame:
        """A frame of no rows with every column."""
        return pl.DataFrame(schema=self.schema)


TEXT: Final = pl.String()
INT: Final = pl.Int64()
SMALL: Final = pl.Int32()
TRUTH: Final = pl.Boolean()

_LINEAGE: Final = (
    Column("source", TEXT, "the input's path as given"),
    Column("source_digest", TEXT, "SHA-256 of the input's decompressed bytes, hex"),
    Column("record_no", INT, "1-based number of the line, or of the element of a JSON array"),
    Column("byte_offset", INT, "where the record begins in the decompressed input; null where it has none"),
)

CONVERSIONS: Final = Table(
    "conversions",
    "a conversion the endpoint would have recorded",
    (
        Column("conversion_id", TEXT, "32 hex digits, a function of (source_digest, record_no)"),
        Column("account_id", TEXT, "from the path, or the option"),
        Column("integration", TEXT, "from the path, or the option"),
        Column("received_at", INSTANT, "when the endpoint received it, by the log"),
        Column("occurred_at", INSTANT, "when it happened: `timestamp`, else received_at"),
        Column("occurred_at_rule", TEXT, "parameter, received"),
        Column("occurred_at_repaired", INSTANT, "what a `timestamp` that is not in seconds plainly meant"),
        Column("match_type", TEXT, "click_id, ref_id, email"),
        Column("match_key", TEXT, "the value that matches it to the click"),
        Column("match_param", TEXT, "the parameter it came from, as spelled"),
        Column("click_id", TEXT, "as sent"),
        Column("ref_id", TEXT, "as sent"),
        Column("event", TEXT, "the resulting event"),
        Column("event_rule", TEXT, "event_name, conversion_type, automatic_commission, automatic_lead"),
        Column("conversion_type", TEXT, "as sent"),
        Column("value", MONEY, "the monetary value; null where none was sent or it cannot be read"),
        Column("value_param", TEXT, "the parameter it came from, as spelled"),
        Column("value_repaired", MONEY, "what an unreadable value plainly meant"),
        Column("currency", TEXT, "upper case; as sent where it is not three letters"),
        Column("currency_defaulted", TRUTH, "no currency was sent"),
        Column("transaction_id", TEXT, "as sent; deduplication compares it trimmed"),
        Column("brand_name", TEXT, "as sent"),
        Column("email", TEXT, "as sent; null unless --pii keep"),
        Column("phone", TEXT, "as sent; null unless --pii keep"),
        Column("first_name", TEXT, "as sent, or from full_name; null unless --pii keep"),
        Column("last_name", TEXT, "as sent, or from full_name; null unless --pii keep"),
        Column("birthdate", TEXT, "as sent; null unless --pii keep"),
        Column("city", TEXT, "as sent; null unless --pii keep"),
        Column("state", TEXT, "as sent; null unless --pii keep"),
        Column("zipcode", TEXT, "as sent; null unless --pii keep"),
        Column("country", TEXT, "as sent"),
        Column("name_rule", TEXT, "parts, full_name; null without a name"),
        Column("email_sha256", TEXT, "hash of the trimmed lowercase address"),
        Column("email_google_sha256", TEXT, "the same, gmail.com and googlemail.com without dots and +suffix"),
        Column("phone_sha256", TEXT, "hash of the digits without leading zeros"),
        Column("phone_e164_sha256", TEXT, "hash of the same digits after a +"),
        Column("first_name_sha256", TEXT, "hash of the lowercase name without punctuation"),
        Column("last_name_sha256", TEXT, "hash of the lowercase name without punctuation"),
        Column("birthdate_sha256", TEXT, "hash of YYYYMMDD; null where the date cannot be read"),
        Column("city_sha256", TEXT, "hash of the lowercase city without punctuation and blanks"),
        Column("state_sha256", TEXT, "hash of two letters for the US, else as city"),
        Column("zipcode_sha256", TEXT, "hash without blanks and dashes, the first five for the US"),
        Column("country_sha256", TEXT, "hash of the two-letter code in lower case"),
        Column("item_count", SMALL, "its rows in items"),
        Column("passthrough_count", SMALL, "its rows in passthroughs, stored or not"),
        Column("issues", pl.List(ISSUE), "what is odd about it, in a fixed order; never null"),
        Column("http_method", TEXT, "null for a bare payload"),
        Column("http_status", SMALL, "the server's answer; null for a bare payload"),
        Column("client_ip", TEXT, "null unless --pii keep"),
        Column("user_agent", TEXT, "as logged"),
        *_LINEAGE,
    ),
)

ITEMS: Final = Table(
    "items",
    "an item of a conversion",
    (
        Column("conversion_id", TEXT, "the conversion"),
        Column("position", SMALL, "place in the array as sent, from 0"),
        Column("item_id", TEXT, "the item or SKU identifier"),
        Column("name", TEXT, "the item's name"),
        Column("variant", TEXT, "the item's variant"),
        Column("price", MONEY, "the item's price; null where none was sent or it cannot be read"),
        Column("quantity", MONEY, "number of units; null where none was sent or it cannot be read"),
    ),
)

PASSTHROUGHS: Final = Table(
    "passthroughs",
    "a passthrough of a conversion",
    (
        Column("conversion_id", TEXT, "the conversion"),
        Column("position", SMALL, "order of the distinct names as sent, from 0"),
        Column("name", TEXT, "without xat_"),
        Column("value", TEXT, "its first non-empty value; objects and arrays as compact JSON"),
        Column("stored", TRUTH, "false past the fifth, which the endpoint drops"),
    ),
)

REJECTIONS: Final = Table(
    "rejections",
    "a record that became no conversion",
    (
        Column("rejection_id", TEXT, "32 hex digits, made like conversion_id"),
        Column("reason", TEXT, "the first of `reasons`"),
        Column("reasons", pl.List(TEXT), "all that applied"),
        Column("message", TEXT, "what the endpoint answers, or what is wrong with the record"),
        Column("suggestion", TEXT, "what would have worked"),
        Column("duplicate_of", TEXT, "conversion_id of the record that was kept"),
        Column("duplicate_kind", TEXT, "identical, conflicting (value, currency or match key differ)"),
        Column("account_id", TEXT, "from the path, or the option"),
        Column("integration", TEXT, "from the path, or the option"),
        Column("received_at", INSTANT, "when the endpoint received it, by the log"),
        Column("raw", TEXT, "the whole record, personal values replaced by --pii"),
        Column("http_method", TEXT, "null for a bare payload"),
        Column("http_status", SMALL, "the server's answer; null for a bare payload"),
        *_LINEAGE,
        Column("user_agent", TEXT, "as logged"),
        Column("match_type", TEXT, "click_id, ref_id, email; null where none was sent, or the record was not judged"),
        Column("match_key", TEXT, "what would have matched it, as in conversions"),
        Column("event", TEXT, "what it would have been; null where its type is unknown, or it was not judged"),
        Column("conversion_type", TEXT, "as sent"),
        Column("value", MONEY, "as in conversions"),
        Column("currency", TEXT, "as in conversions"),
        Column("transaction_id", TEXT, "as sent"),
    ),
)

TABLES: Final = (CONVERSIONS, ITEMS, PASSTHROUGHS, REJECTIONS)

REQUESTS: Final = Table(
    "requests",
    "a record of an input, as its reader understood it",
    (
        *_LINEAGE,
        Column("fault", TEXT, "a skip reason, or malformed_record or malformed_body; null: a request"),
        Column("fault_message", TEXT, "what is wrong with the record"),
        Column("received_at", INSTANT, "the log's or dump's time"),
        Column("http_method", TEXT, "null where the record has none"),
        Column("http_status", SMALL, "null where the record has none"),
        Column("client_ip", TEXT, "the address the log names first"),
        Column("user_agent", TEXT, "null where the record has none"),
        Column("path", TEXT, "of the request target, before the first `?`; null: a bare payload"),
        Column("query", TEXT, "after the first `?`, still encoded; null or empty: none"),
        Column("query_fields", pl.List(FIELD), "a query its reader was given as an object; null: see query"),
        Column("body", TEXT, "JSON or form text, still encoded; null: none"),
        Column("fields", pl.List(FIELD), "a JSON object its reader has parsed already; null: see body"),
        Column("is_body_logged", TRUTH, "the source would show a body if there was one"),
        Column("raw", TEXT, "the whole record as text"),
        Column("layout", TEXT, "of a table's row: how it is written and its columns called, as `cells.Layout` tells"),
    ),
)

PARAMS: Final = Table(
    "params",
    "a parameter of a postback, in the request's order",
    (
        Column("row", pl.UInt32(), "index of the postback in its frame"),
        Column("name", TEXT, "decoded"),
        Column("value", TEXT, "decoded; JSON text for a structure; never null"),
        Column("is_structure", TRUTH, "a JSON object or array"),
        Column("is_json", TRUTH, "from a JSON body: bracket keys mean nothing there"),
    ),
)

KEYS: Final = Table(
    "keys",
    "a conversion that can repeat another: what deduplication compares",
    (
        Column("conversion_id", TEXT, "the conversion"),
        Column("source_digest", TEXT, "breaks a tie of received_at"),
        Column("record_no", INT, "breaks a tie of source_digest"),
        Column("byte_offset", INT, "where the record begins, to find it again"),
        Column("received_at", INSTANT, "the earliest is kept"),
        Column("key_hash", pl.UInt64(), "hash of the four columns of the key"),
        Column("account_id", TEXT, "part of the key"),
        Column("integration", TEXT, "part of the key"),
        Column("event", TEXT, "part of the key; null where the ruleset leaves it out"),
        Column("transaction_key", TEXT, "part of the key: transaction_id, trimmed"),
        Column("value", MONEY, "differs: conflicting"),
        Column("currency", TEXT, "differs: conflicting"),
        Column("match_digest", pl.UInt64(), "hash of the match key as sent; differs: conflicting"),
    ),
)
