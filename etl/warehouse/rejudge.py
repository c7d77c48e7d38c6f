"""Rejections judged again from the raw record that was kept of each, personal values replaced.

A value of which only its hash is left fills that hash column and no other: Google's form of an e-mail address and the
E.164 form of a phone number are null, and so are the hashes of a first and last name that were sent as one. What else
was replaced in a record (an address of a client, an e-mail address where nobody looks for one) cannot be brought back;
a record that would carry it into a table stays what it is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.columnar.string_buffers import Truths
from etl.options import Options
from etl.privacy import trait_hashes
from etl.privacy.redaction import redact_anew
from etl.privacy.redactor import DROPPED, HASHED
from etl.rules import page
from etl.rules.ruleset import Ruleset
from etl.schema import CONVERSIONS, ITEMS, KEYS, PASSTHROUGHS, REJECTIONS, REQUESTS
from etl.sources.reread import Origin, read_again
from etl.transform.field_resolution import IDENTITY_EMAIL
from etl.transform.pipeline import Judged, Tables, judge
from etl.transform.record_ids import record_ids
from etl.transform.rejections import JUDGED
from etl.warehouse.table_layout import dated


class Fate(NamedTuple):
    """What became of a rejection: its name, and why, for people."""

    name: str
    why: str


PASSED: Final = Fate("passed", "it is a conversion now")
CHANGED: Final = Fate("changed", "it is rejected otherwise")
SKIPPED: Final = Fate("skipped", "its path is that of no postback any more")
SAME: Final = Fate("same", "it is what it was")
UNREAD: Final = Fate("unread", "no rule decides whether a record can be read")
HIDDEN: Final = Fate("hidden", "--pii has replaced a value that would go into a table")
UNTOLD: Final = Fate("untold", "its raw record alone cannot be read as it was; `load --reload` reads its input")

#: What the report shows of those that stay, beside SAME.
LEFT: Final = (UNREAD, HIDDEN, UNTOLD)

#: Reasons of records that were never judged.
UNJUDGED: Final = ("malformed_record", "malformed_body", "body_not_logged")

#: One row is a rejection: what it was, what becomes of it, and the reason of a rejection or skip that it has now.
FATES: Final = pl.Schema(
    {
        "rejection_id": pl.String(),
        "source_digest": pl.String(),
        "received_date": pl.Date(),
        "reason": pl.String(),
        "fate": pl.String(),
        "now": pl.String(),
    }
)

_KEPT_OF_ROW: Final = ("received_at", "http_method", "http_status", "user_agent")
_LINEAGE: Final = ("source", "source_digest", "record_no", "byte_offset")
_DIGEST: Final = f"^{HASHED}([0-9a-f]{{32,64}})$"
_LONGEST: Final = 64

#: Traces of what was replaced: a hash, the word for none, a dash where an address stood, but not between words.
_TRACE: Final = rf"{HASHED}[0-9a-f]{{32}}|(^|\W){DROPPED}(\W|$)|(^|[^\w./\- ])-($|[^\w.\- ])"

#: A number that is written otherwise in a raw record whose JSON was parsed: `-0.0`.
_ALTERED: Final = r"[:\[,]-0[,}\]]"

_SHARED: Final = ("account_id", "integration", "match_key", "event", "conversion_type", "transaction_id", "currency")
#: The texts of each table that come from the record: its name, the column of ids, the columns.
_TEXTS: Final = (
    ("conversions", "conversion_id", (*_SHARED, "click_id", "ref_id", "brand_name", "country")),
    ("rejections", "rejection_id", _SHARED),
    ("items", "conversion_id", ("item_id", "name", "variant")),
    ("passthroughs", "conversion_id", ("name", "value")),
)
_NAMES: Final = ("first_name", "last_name")
#: Traits of which it does not matter whether a value without a hash was blank.
_HARMLESS: Final = ("phone", "birthdate", "city", "state", "zipcode")
_NO_TABLES: Final = (
    *(table.empty() for table in (CONVERSIONS, ITEMS, PASSTHROUGHS, REJECTIONS, KEYS)),
    *(pl.DataFrame(schema={name: pl.String, "count": pl.Int64}) for name in ("reason", "name")),
)


class Rejudged(NamedTuple):
    """What some rejections become.

    Attributes:
        tables: The rows of those that are otherwise now: conversions, items, passthroughs, rejections, keys, and raws.
        fates: Rows of FATES, of all.
    """

    tables: dict[str, pl.DataFrame]
    fates: pl.DataFrame


def rejudge(rows: pl.DataFrame, origin: Origin, ruleset: Ruleset, options: Options) -> Rejudged:
    """Judges rejections by the present rules.

    Args:
        rows: Of `schema.REJECTIONS`, none of them a duplicate, of inputs that were read alike.
        origin: How those were read; None if that is not known.
        ruleset: The rules.
        options: Those of the load that brought them.
    """
    before = dated(rows).sort("source_digest", "record_no")
    before = before.with_columns(redact_anew(before["raw"], options.pii, ruleset, origin.layout).alias("raw_now"))
    is_unjudged = pl.col("reason").is_in(UNJUDGED)
    if not origin.is_enough:
        fate = pl.when(is_unjudged).then(pl.lit(UNREAD.name)).otherwise(pl.lit(UNTOLD.name))
        return _kept(before.with_columns(fate=fate, now=pl.lit(None, pl.String)), Tables(*_NO_TABLES), before.clear())
    judged = judge(_requests(before, origin), ruleset, options)
    tables = _with_known_hashes(judged, options)
    now = _rejected_now(before, tables.rejections)
    hidden = [] if options.pii == "keep" else _hidden(before, judged, tables, (ruleset, options))
    fault = judged.routed["fault"]
    read = before.with_columns(fault, is_skipped=fault == "not_a_postback").with_columns(
        is_passed=pl.col("rejection_id").is_in(tables.conversions["conversion_id"].implode()),
        is_same=~pl.col("rejection_id").is_in(now["rejection_id"].implode()),
        is_hidden=pl.col("rejection_id").is_in(pl.Series(hidden, dtype=pl.String).implode()),
    )
    fates = (
        (SKIPPED, pl.col("is_skipped").fill_null(False)),
        (UNREAD, is_unjudged & pl.col("is_same")),
        (CHANGED, is_unjudged),
        (UNTOLD, pl.col("fault").is_not_null()),
        (SAME, ~pl.col("is_passed") & pl.col("is_same")),
        (HIDDEN, pl.col("is_hidden")),
        (PASSED, pl.col("is_passed")),
        (CHANGED, pl.lit(value=True)),
    )
    fate = pl.coalesce(pl.when(truth).then(pl.lit(fate.name)) for fate, truth in fates)
    reasons = now.select("rejection_id", now="reason")
    told = read.with_columns(fate=fate).join(reasons, on="rejection_id", how="left", maintain_order="left")
    return _kept(told.with_columns(now=pl.when("is_skipped").then("fault").otherwise("now")), tables, now)


def _requests(rows: pl.DataFrame, origin: Origin) -> pl.DataFrame:
    """The records as their reader understands them, with what is known of each; without their raw text."""
    is_malformed = pl.col("reason").is_in(("malformed_record", "malformed_body"))
    read = pl.DataFrame(read_again(origin, rows["raw"]))
    known = rows.select(
        *(*_LINEAGE, *_KEPT_OF_ROW),
        said=pl.when(is_malformed).then("reason"),
        fault_message=pl.when(is_malformed).then("message"),
        is_body_logged=pl.lit(origin.row.is_body_logged),
        raw=pl.lit(""),
    )
    whole = pl.concat([known, read.drop(known.columns, strict=False)], how="horizontal")
    found = {name: pl.col(name) if name in whole.columns else pl.lit(None) for name in REQUESTS.schema}
    return whole.select(
        pl.coalesce("said", found[name]).alias(name) if name == "fault" else found[name].cast(dtype).alias(name)
        for name, dtype in REQUESTS.schema.items()
    )


def _rejected_now(before: pl.DataFrame, rejections: pl.DataFrame) -> pl.DataFrame:
    """The rows of `schema.REJECTIONS` that are otherwise than before."""
    raws = before.select("rejection_id", raw=pl.col("raw_now"))
    judged = rejections.drop("raw").join(raws, on="rejection_id", maintain_order="left")
    unjudged = before.filter(pl.col("reason").is_in(UNJUDGED)).with_columns(raw=pl.col("raw_now"))
    names = REJECTIONS.schema.names()
    now = pl.concat([judged.join(unjudged, on="rejection_id", how="anti").select(names), unjudged.select(names)])
    both = now.join(before.select(names), on="rejection_id", suffix="_before", maintain_order="left")
    is_other = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in names if name != "rejection_id"
    )
    return now.filter(both.select(is_other).to_series())


def _with_known_hashes(judged: Judged, options: Options) -> Tables:
    """The tables with the hashes that records hold in the place of personal values, and none made of these."""
    tables = judged.tables
    if options.pii != "hash":
        return tables
    is_refused = judged.verdicts.select(pl.any_horizontal(JUDGED)).to_series()
    texts = judged.fields.texts.filter(~is_refused)
    known = {name: texts[name].str.extract(_DIGEST, 1) for name in (IDENTITY_EMAIL, *page.PERSONAL_TRAITS)}
    conversions = tables.conversions.with_columns(
        *(_known_hash(row, known, tables.conversions) for row in trait_hashes.HASHES if row.trait in known),
        match_key=_known_key(tables.conversions, known[IDENTITY_EMAIL]),
    )
    ids = pl.select(rejection_id=record_ids(judged.postbacks["source_digest"], judged.postbacks["record_no"]))
    keys = ids.with_columns(judged.fields.texts[IDENTITY_EMAIL].str.extract(_DIGEST, 1).alias("known"))
    refused = tables.rejections.join(keys, on="rejection_id", how="left", maintain_order="left")
    rejections = refused.with_columns(match_key=_known_key(refused, refused["known"])).drop("known")
    return tables._replace(conversions=conversions, rejections=rejections)


def _known_hash(row: trait_hashes.TraitHash, known: dict[str, pl.Series], conversions: pl.DataFrame) -> pl.Series:
    """A hash column: the hash that was sent, if the column is that of raw records, else what was made of a value."""
    hashed = known[row.trait]
    if row.trait in _NAMES:
        is_whole = (conversions["name_rule"] == "full_name") & known["full_name"].is_not_null()
        return (
            pl.select(
                pl.when(is_whole.fill_null(False)).then(None).otherwise(pl.coalesce(hashed, conversions[row.column]))
            )
            .to_series()
            .alias(row.column)
        )
    is_sent = hashed.str.len_bytes() < _LONGEST
    told = hashed if trait_hashes.HASH_OF[row.trait] is row else hashed.set(~is_sent.fill_null(False), None)
    return told.zip_with(hashed.is_not_null(), conversions[row.column]).alias(row.column)


def _known_key(rows: pl.DataFrame, known: pl.Series) -> pl.Series:
    is_known = ((rows["match_type"] == "email") & known.is_not_null()).fill_null(False)
    return known.zip_with(is_known, rows["match_key"])


def _hidden(before: pl.DataFrame, judged: Judged, tables: Tables, rules: tuple[Ruleset, Options]) -> list[str]:
    """The records that would carry into a table what stands in the place of a value, or whose meaning it decides."""
    found = [
        before.filter(pl.col("raw").str.contains(_ALTERED))["rejection_id"],
        _with_lost_values(before, judged, *rules),
    ]
    for name, key, texts in _TEXTS:
        rows = getattr(tables, name)
        found.append(rows.filter(pl.any_horizontal(pl.col(texts).str.contains(_TRACE).fill_null(False)))[key])
    found.append(_with_other_address(before, tables))
    said = tables.conversions.select("conversion_id", "issues").explode("issues", empty_as_null=False)
    details = said.filter(pl.col("issues").struct.field("detail").str.contains(_TRACE).fill_null(False))
    return pl.concat([*found, details["conversion_id"]]).to_list()


def _with_other_address(before: pl.DataFrame, tables: Tables) -> pl.Series:
    """The records whose raw text has another hash of the address that identifies them than was made of that."""
    columns = ("match_type", "match_key")
    ids = pl.col("conversion_id").alias("rejection_id")
    now = pl.concat([tables.conversions.select(ids, *columns), tables.rejections.select("rejection_id", *columns)])
    both = before.select("rejection_id", *columns).join(now, on="rejection_id", suffix="_now")
    is_address = (pl.col("match_type") == "email") & (pl.col("match_type_now") == "email")
    return both.filter(is_address & (pl.col("match_key") != pl.col("match_key_now")))["rejection_id"]


def _with_lost_values(before: pl.DataFrame, judged: Judged, ruleset: Ruleset, options: Options) -> pl.Series:
    """The records with a value that is not what was sent, though nothing shows it in a table."""
    params, texts = judged.fields.params, judged.fields.texts
    raws = before["raw"].filter(judged.routed["fault"].is_null())
    is_rewritten = raws.str.contains(r"^\s*[{\[]").to_numpy()[params.rows] & _are_json(judged)
    is_lost = is_rewritten | _are_blank_or_not(judged, ruleset, options)
    personal = [pl.col(name).fill_null("") for name in (IDENTITY_EMAIL, *page.PERSONAL_TRAITS)]
    is_mixed = pl.any_horizontal(text.str.contains(_TRACE) & ~text.str.contains(_DIGEST) for text in personal)
    rows = np.append(params.rows[is_lost], texts.select(is_mixed).to_series().arg_true())
    postbacks = judged.postbacks[np.unique(rows)]
    return record_ids(postbacks["source_digest"], postbacks["record_no"])


def _are_json(judged: Judged) -> Truths:
    """The parameters that are JSON as text, and kept so: redaction writes that text anew, with other blanks."""
    fields, params = judged.fields, judged.fields.params
    is_kept = fields.meaning("is_passthrough") | (fields.meaning("core") >= 0) | (fields.meaning("exact") >= 0)
    is_candidate: Truths = is_kept & ~params.is_structure & params.values.str.contains(r"^\s*[{\[]").to_numpy()
    places = np.flatnonzero(is_candidate)
    is_candidate[places] = [json_codec.is_json(text.encode()) for text in params.values.gather(places)]
    return is_candidate


def _are_blank_or_not(judged: Judged, ruleset: Ruleset, options: Options) -> Truths:
    """The parameters whose personal value has no hash, where it matters whether that was blank, or a digest."""
    params = judged.fields.params
    harmless = {
        name
        for field in ruleset.exact_fields
        if field.name in _HARMLESS and options.pii == "hash"
        for name in field.accepted
    }
    is_harmful = ~params.names.is_in(list(harmless)).to_numpy()
    is_dropped: Truths = (params.values == DROPPED).to_numpy() & is_harmful[params.numbers]
    return is_dropped


def _kept(told: pl.DataFrame, tables: Tables, now: pl.DataFrame) -> Rejudged:
    """The fates, and of the tables the rows of those that are otherwise now."""
    passed = told.filter(pl.col("fate") == PASSED.name)["rejection_id"]
    changed = told.filter(pl.col("fate") == CHANGED.name)["rejection_id"]
    rows = {
        name: getattr(tables, name).filter(pl.col("conversion_id").is_in(passed.implode()))
        for name in ("conversions", "items", "passthroughs", "keys")
    }
    raws = told.select(conversion_id="rejection_id", raw="raw_now")
    return Rejudged(
        tables={
            **rows,
            "rejections": now.select(REJECTIONS.schema.names()).filter(pl.col("rejection_id").is_in(changed.implode())),
            "raws": raws.filter(pl.col("conversion_id").is_in(rows["keys"]["conversion_id"].implode())),
        },
        fates=told.select(FATES.names()),
    )
