"""The shipped rulesets: found by name, in the wheel, true to real orders, and total on whatever is sent."""

from __future__ import annotations

import random
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.columnar.field_lists import fields_of
from etl.errors import RulesetError
from etl.rules.parameter_names import meaning_of
from etl.rules.ruleset import Ruleset
from etl.rules.vendors import find_ruleset, shipped_names, shipped_recognition, shipped_ruleset
from etl.rules.vendors.recognition import Signature, recognise, signatures
from etl.schema import REQUESTS
from etl.steps.field_resolution import resolve_aliases
from etl.steps.parameters import explode_params
from etl.steps.rejections import name_presets
from tests import adversary
from tests.case_files import FOLDER, shown
from tests.commands import run
from tests.effort import draws, thorough
from tests.places import SHARED, reads_shared

ROOT = Path(__file__).parents[1]
WEBHOOKS = SHARED / "corpora" / "webhooks"

NAMES = sorted(
    [
        "admitad",
        "anytrack-woocommerce",
        "awin",
        "clickbank",
        "digistore24",
        "everflow",
        "hotmart",
        "impact",
        "kajabi",
        "paypal",
        "rakuten",
        "shareasale",
        "shopify",
        "stripe",
        "thrivecart",
        "tracker",
        "tune",
        "woocommerce",
    ]
)


def test_the_shipped_rulesets_are_these() -> None:
    assert shipped_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_ruleset_is_named_as_its_file_and_has_cases(name: str) -> None:
    assert etl.shipped_ruleset(name).name == name
    assert (FOLDER / f"rulesets_{name}.toml").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_ruleset_only_extends_the_page(name: str) -> None:
    ours, page = etl.shipped_ruleset(name), Ruleset()
    for kind in ("core_fields", "exact_fields", "item_fields"):
        for field, known in zip(getattr(ours, kind), getattr(page, kind), strict=True):
            assert field.accepted[: len(known.accepted)] == known.accepted
    assert ours.events[: len(page.events)] == page.events


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(RulesetError, match="clickbank, digistore24, everflow"):
        etl.shipped_ruleset("magento")


def test_a_file_is_read_where_no_ruleset_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "house.toml").write_text('[aliases]\nvalue = ["payout"]\n', encoding="utf-8")
    assert find_ruleset(str(tmp_path / "house.toml")).name == "house.toml"


def test_the_wheel_holds_the_rulesets() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    globs = project["tool"]["setuptools"]["package-data"]["etl"]
    held = {path for pattern in globs for path in (ROOT / "etl").glob(pattern)}
    assert {path for path in (ROOT / "etl").rglob("*") if path.suffix in {".toml", ".typed"}} <= held


def test_a_ruleset_without_paths_leaves_the_parameters_alone() -> None:
    fields = fields_of([{"a": {"b": 1}, "c": "x"}, None])
    postbacks = pl.DataFrame(
        {name: fields if name == "fields" else [None, None] for name in ("query", "query_fields", "body", "fields")},
        schema_overrides={name: REQUESTS.schema[name] for name in ("query", "query_fields", "body")},
    )
    assert explode_params(postbacks, "query_first").frame()["name"].to_list() == ["a", "c"]
    paths = etl.parse_ruleset('[paths]\n"a.b" = "value"\n', "paths.toml").paths
    assert explode_params(postbacks, "query_first", paths).frame()["name"].to_list() == ["a", "c", "a.b"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[thorough] if turn % 3 else []) for turn, name in enumerate(NAMES)]
)
def test_whatever_is_sent_the_records_balance(name: str, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(adversary.json_lines(7, draws(60, 300)))
    summary = etl.run([tmp_path / "input"], tmp_path / "out", format="jsonl", ruleset=etl.shipped_ruleset(name))
    ended = summary["conversions"] + summary["rejections"]["total"] + summary["skipped"]["total"]
    assert summary["records"] == ended


BUYER = {
    "shopify": {"email": "bob.norman@hostmail.com", "first_name": "Bob", "last_name": "Norman", "city": "Louisville"}
    | {"state": "KY", "zipcode": "40202", "country": "US", "phone": "555-625-1199"},
    "woocommerce": {"email": "john.doe@example.com", "first_name": "John", "last_name": "Doe", "city": "San Francisco"}
    | {"state": "CA", "zipcode": "94103", "country": "US", "phone": "(555) 555-5555"},
}
PAID = {
    "shopify": {"value": "409.94", "currency": "USD", "transaction_id": "450789469", "event": "Purchase"},
    "woocommerce": {"value": "29.35", "currency": "USD", "transaction_id": "727", "event": "Purchase"},
}
IPODS = [
    ("466157049", "39072856", "199", "1"),
    ("518995019", "49148385", "199", "1"),
    ("703073504", "457924702", "199", "1"),
]
COFFEES = [("466157049", "39072856", "45", "1"), ("641254555689", "4107806867497", "24", "1")]
WOO = [("315", "0", "3", "2"), ("316", "23", "12", "1")]
ORDERS = {
    "shopify/shopify_api__order.json": IPODS,
    "shopify/shopify_api__order_with_properties.json": COFFEES,
    "shopify/shopify_python_api__order.json": IPODS,
    "woocommerce/wc-rest-docs__order_v3_1.json": WOO,
    "woocommerce/wc-rest-docs__order_v3_2.json": WOO,
    "woocommerce/wc-rest-docs__order_v3_3.json": WOO,
}


@reads_shared
@pytest.mark.parametrize("path", ORDERS)
def test_a_real_order_is_what_it_says(path: str, tmp_path: Path) -> None:
    vendor = path.partition("/")[0]
    etl.run([WEBHOOKS / path], tmp_path / "out", ruleset=etl.shipped_ruleset(vendor), pii="keep")
    (order,) = pl.read_parquet(tmp_path / "out" / "conversions").to_dicts()
    expected: dict[str, Any] = PAID[vendor] | BUYER[vendor] | {"match_key": BUYER[vendor]["email"]}
    assert {name: shown(order[name]) for name in expected} == expected
    items = pl.read_parquet(tmp_path / "out" / "items").select("item_id", "variant", "price", "quantity")
    assert [tuple(map(shown, item)) for item in items.rows()] == ORDERS[path]


@reads_shared
@pytest.mark.parametrize("path", ["shopify/shopify_api__refund.json", "shopify/shopify_api__orders.json"])
def test_what_is_no_order_of_its_own_is_rejected_and_kept(path: str, tmp_path: Path) -> None:
    etl.run([WEBHOOKS / path], tmp_path / "out", ruleset=etl.shipped_ruleset("shopify"))
    assert pl.read_parquet(tmp_path / "out" / "rejections")["reason"].to_list() == ["missing_identity"]


STRIPE = (
    '{"id": "evt_1", "object": "event", "type": "checkout.session.completed", "livemode": true, "data":'
    ' {"object": {"id": "cs_1", "amount_total": 1999, "currency": "usd", "client_reference_id": "k1",'
    ' "payment_status": "paid"}}}\n'
)


def test_inspect_run_and_explain_name_the_ruleset_that_would_read_an_input(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(STRIPE * 2, encoding="utf-8")
    looks = "look like a Stripe event: --ruleset stripe"
    inspected = run("inspect", tmp_path / "events.jsonl").stdout.decode()
    assert f"2 postbacks {looks}" in inspected
    warned = run("run", tmp_path / "events.jsonl", "--out", tmp_path / "out").stderr.decode()
    assert f"events.jsonl: 2 postbacks {looks}." in warned
    assert "The record looks like a Stripe event: --ruleset stripe." in run("explain", STRIPE).stdout.decode()


def test_what_the_ruleset_in_use_reads_is_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(STRIPE, encoding="utf-8")
    common = (tmp_path / "events.jsonl", "--ruleset", "stripe")
    assert "looks like" not in run("inspect", *common).stdout.decode()
    assert "looks like" not in run("run", *common, "--out", tmp_path / "out").stderr.decode()
    house = etl.parse_ruleset('[aliases]\nclick_id = ["subid"]\nvalue = ["payout"]\n', "house.toml")
    assert recognise(["subid", "payout"], Ruleset()) is not None
    assert recognise(["subid", "payout"], house) is None


@pytest.mark.parametrize("signature", signatures(), ids=lambda one: f"{one.ruleset} {sorted(one.names)}")
def test_a_vendor_is_recognised_by_two_names_that_the_page_does_not_read(signature: Signature) -> None:
    unread = [name for name in signature.names if not meaning_of(name, Ruleset()).is_recognised]
    assert len(unread) >= 2
    assert signature.what.startswith(("a ", "an "))
    assert not all(meaning_of(name, Ruleset()).is_recognised for name in signature.names)


def test_every_ruleset_is_recognised_by_something() -> None:
    assert sorted({one.ruleset for one in signatures()}) == NAMES


def test_a_record_that_is_left_out_says_by_which_parameter() -> None:
    explained = run("explain", "subid=k1&payout=2&status=rejected", "--ruleset", "tracker").stdout.decode()
    assert "left_out_by_ruleset (status is rejected)" in explained


def test_the_table_of_recognition_is_found_without_parsing_the_rest() -> None:
    for name in shipped_names():
        whole = tomllib.loads(files("etl.rules.vendors").joinpath(f"{name}.toml").read_text(encoding="utf-8"))
        assert shipped_recognition(name) == whole.get("recognition", {}), name


@pytest.mark.parametrize("ruleset", [Ruleset(), shipped_ruleset("tracker"), shipped_ruleset("stripe")])
def test_batches_name_the_presets_that_single_records_name(ruleset: Ruleset) -> None:
    chance = random.Random(ruleset.name)
    signed = [sorted(one.names) for one in signatures()]
    others = ["note", "value", "Sub_Id", "PAYOUT", "txid"]
    records = [
        {*chance.choice(signed)[: chance.choice((1, 2, 9))], *chance.sample(others, chance.randrange(4))}
        for _ in range(300)
    ]
    bodies = fields_of(dict.fromkeys(sorted(names), "1") for names in records)
    nothing = [None] * len(records)
    postbacks = pl.DataFrame(
        {name: bodies if name == "fields" else nothing for name in ("query", "query_fields", "body", "fields")},
        schema_overrides={name: REQUESTS.schema[name] for name in ("query", "query_fields", "body")},
    )
    fields = resolve_aliases(explode_params(postbacks, "query_first"), postbacks.height, ruleset)
    found = [recognise(names, ruleset) for names in records]
    advice = name_presets(fields, pl.repeat(True, len(records), eager=True), ruleset).to_list()
    assert advice == [one and one.advice for one in found]
    assert len(set(advice)) > 3
