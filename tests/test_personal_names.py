"""What is personal by a name that the page does not know, by a name above it, or in the line of a log (rules 9.1)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote, unquote

import polars as pl
import pytest

import etl
from etl.options import Pii
from etl.privacy.json_redaction import MIN_BATCH
from etl.privacy.personal_names import CLIENT, OWNERS, PERSONAL_NAMES
from etl.privacy.redaction import redact_raws
from etl.rules import page
from etl.rules.ruleset import Ruleset, fold
from etl.schema import OWN_COLUMNS
from etl.steps.address_columns import hide_in_columns
from tests.commands import run
from tests.records import LINE

SECRET = "Zqwxv"


def dropped(*raws: str, ruleset: Ruleset | None = None) -> list[str]:
    """The records without their personal values, the same one at a time and together."""
    rules = ruleset or Ruleset()
    alone = redact_raws(pl.Series(raws), "drop", rules).to_list()
    together = redact_raws(pl.Series(raws * MIN_BATCH), "drop", rules).to_list()
    assert together == alone * MIN_BATCH
    return alone


def line(query: str, user: str = "-") -> str:
    return LINE.format(query).rstrip("\n").replace(" - - ", f" - {user} ")


def query_of(redacted: str) -> str:
    return redacted.partition("shop?")[2].partition(" HTTP")[0]


def spellings(name: str) -> dict[str, str]:
    """The secret under a name, in every syntax."""
    return {
        "query": line(f"click_id=a&{name}={SECRET}&b=1"),
        "brackets": line(f"click_id=a&order[{name}][x]={SECRET}&b=1"),
        "JSON": json.dumps({"click_id": "a", name: SECRET, "b": 1}),
        "JSON above": json.dumps({"order": {name: {"x": [{"y": SECRET}], "country": "US"}}, "b": 1}),
        "JSON in a form": json.dumps({"body": "click_id=a&data=" + quote(json.dumps({name: {"x": SECRET}}))}),
        "dictionary": repr({"click_id": "a", name: {"x": SECRET, "z": [SECRET]}, "b": 1}),
        "torn JSON": json.dumps({"click_id": "a", "b": 1, name: {"x": SECRET}})[:-2],
        "XML": f"<order><{name} a='1'><x>{SECRET}</x><y/><x>{SECRET}</x></{name}><b>1</b></order>",
        "attributes": f"<order><{name} zip='{SECRET}'><x/></{name}></order>",
        "notation": f"order: {{{name}: {{x: {SECRET}}}, b: 1}}",
        "PHP": f's:{len(name)}:"{name}";a:1:{{s:1:"x";s:5:"{SECRET}";}}s:1:"b";i:1;',
    }


@pytest.mark.parametrize("name", [*(row.name for row in PERSONAL_NAMES), "phone", "name", "city", "customer_email"])
def test_a_personal_name_hides_its_value_and_what_stands_under_it(name: str) -> None:
    hidden = dict(zip(spellings(name), dropped(*spellings(name).values()), strict=True))
    assert {syntax: text for syntax, text in hidden.items() if SECRET in text} == {}
    assert "b" in hidden["JSON above"]
    assert '"country":"US"' in hidden["JSON above"]


def test_each_row_has_a_source_and_none_is_a_name_of_the_page() -> None:
    known = {fold(name) for field in (*page.CORE_FIELDS, *page.EXACT_FIELDS) for name in field.accepted}
    assert [row for row in PERSONAL_NAMES if fold(row.name) in known or not row.source] == []
    assert {row.trait for row in PERSONAL_NAMES} - {CLIENT} - set(page.PERSONAL_TRAITS) == {"street"}
    assert len({fold(row.name) for row in PERSONAL_NAMES}) == len(PERSONAL_NAMES)
    assert [row for row in OWNERS if not row.source] == []


def test_the_hash_is_that_of_the_trait() -> None:
    raw = '{"zip":"A1 2B","zipcode":"A1 2B","phone":{"number":"+1 650 555 0187"},"tel":"+16505550187","line1":"1 Main"}'
    (hashed,) = redact_raws(pl.Series([raw]), "hash", Ruleset())
    found = json.loads(hashed)
    assert found["zip"] == found["zipcode"] != "redacted"
    assert found["phone"]["number"] == found["tel"] != "redacted"
    assert found["line1"] == "redacted"


@pytest.mark.parametrize(
    ("name", "is_hidden"),
    [
        ("billing_address[street]", True),
        ("customer.address.anything", True),
        ("billing_city", True),
        ("customerName", True),
        ("payer-zip", True),
        ("address[country_code]", False),
        ("items[0][name]", False),
        ("items[0][buyer][name]", True),
        ("event_name", False),
        ("brand_name", False),
        ("capacity", False),
        ("user_id", False),
        ("first%255Fname", True),
    ],
)
def test_names_that_are_made_of_others(name: str, is_hidden: bool) -> None:
    (hidden,) = dropped(line(f"click_id=a&{name}={SECRET}"))
    assert (SECRET not in hidden) == is_hidden


def test_a_name_that_the_ruleset_reads_as_another_field_is_not_personal() -> None:
    core = tuple(
        field._replace(accepted=(*field.accepted, "mobile")) if field.name == "ref_id" else field
        for field in page.CORE_FIELDS
    )
    raws = line(f"mobile={SECRET}"), json.dumps({"mobile": SECRET})
    assert [SECRET in raw for raw in dropped(*raws, ruleset=Ruleset(core_fields=core))] == [True, True]
    assert [SECRET in raw for raw in dropped(*raws)] == [False, False]


URL = f"https://example.com/?first_name={SECRET}"


@pytest.mark.parametrize("times", range(1, 4))
@pytest.mark.parametrize("text", [URL, json.dumps({"first_name": SECRET}), f"a=1&first_name={SECRET}"])
def test_encoded_values_are_decoded_and_stay_well_formed(text: str, times: int) -> None:
    sent = text
    for _ in range(times):
        sent = quote(sent, safe="")
    in_path = line("b=1").replace("shop?", f"shop/{sent}?")
    shown = dropped(line(f"u={sent}&b=1"), json.dumps({"u": sent}), json.dumps({"u": f"see {sent} now"}), in_path)
    assert [text for text in shown if SECRET in text] == []
    plain = query_of(shown[0]).removeprefix("u=").removesuffix("&b=1")
    for _ in range(times):
        plain = unquote(plain)
    assert plain.replace(" ", "") == text.replace(SECRET, "redacted").replace(" ", "")
    assert json.loads(shown[2])["u"].split() == ["see", json.loads(shown[1])["u"], "now"]


def test_what_encodes_nothing_personal_stays_as_it_is() -> None:
    raws = (
        line("u=https%3a%2F%2Fexample.com%2F%3Fa%3d1&w=%257b+%2522"),
        json.dumps({"u": "%7b%22a%22%3A1}", "w": "5%3D"}),
    )
    assert dropped(*raws) == [raws[0].replace("192.0.2.1", "-"), json.dumps(json.loads(raws[1]), separators=(",", ":"))]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("192.0.2.1 - ann ", "- - - "),
        ("192.0.2.1 - ann lee ", "- - - "),
        ("192.0.2.1 ann lee ", "- - - "),
        ("192.0.2.1 - ann@example.com ", "- - - "),
        ("shop.example.com:443 192.0.2.1 - ann ", "shop.example.com:443 - - - "),
        ("192.0.2.9:443 192.0.2.1 - ann ", "-:443 - - - "),
        ("192.0.2.1, 192.0.2.2 - ann ", "-, - - - "),
        ("web-1  | 192.0.2.1 - ann ", "web-1  | - - - "),
        ("2001:db8::1 - ann 0.003 ", "- - - 0.003 "),
        ("host.example.com - ann lee ", "host.example.com - - "),
        ("host.example.com ann lee ", "host.example.com - - "),
        ("192.0.2.1 - - ", "- - - "),
        ("- ", "- "),
    ],
)
def test_the_user_of_a_line(head: str, expected: str) -> None:
    rest = line("click_id=a").partition("[")[1:]
    whole = head + "".join(rest)
    shown = dropped(whole, f"{whole}x", json.dumps({"log": whole}))
    assert shown[0] == expected + "".join(rest)
    assert shown[1] == shown[0] + "x"
    assert json.loads(shown[2])["log"] == shown[0]


@pytest.mark.parametrize(
    ("record", "is_hidden"),
    [
        ({"user": SECRET, "method": "GET", "path": "/", "code": "200"}, True),
        ({"request": {"uri": "/"}, "status": 200, "user_id": SECRET}, True),
        ({"remote_user": SECRET, "uri": "/"}, True),
        ({"user_id": SECRET, "status": "paid"}, False),
    ],
)
def test_the_user_of_a_log_in_json(record: dict[str, object], is_hidden: bool) -> None:
    (shown,) = dropped(json.dumps(record))
    assert (SECRET not in shown) == is_hidden
    assert json.loads(shown) == record | (
        {next(key for key in record if record[key] == SECRET): "-"} if is_hidden else {}
    )


def test_json_in_base64_under_a_name() -> None:
    held = base64.b64encode(json.dumps({"address": {"x": SECRET}}).encode()).decode()
    (shown,) = dropped(line(f"data={quote(held)}"))
    assert b'{"address":{"x":"redacted"}}' in base64.b64decode(
        query_of(shown).removeprefix("data=").replace("%3D", "=")
    )


SWALLOWED = (
    f"value=10%26first_name%3D{SECRET}&timestamp=x%26city%3D{SECRET}&items[0][price]=1;city={SECRET}",
    f'value={{"first_name":"{SECRET}"}}&items[0][id]=3&items[0][qty]={{"phone":{{"x":"{SECRET}"}}}}',
    f"xat_1=1&xat_2=2&xat_3=3&xat_4=4&xat_5=5&xat_6=6&valu[dob={SECRET}]=3&firstname;city={SECRET}=1",
    f"value=5&%7B%22city%22:%22{SECRET}%22%7D=5&street:{SECRET}=1",
)


@pytest.mark.parametrize("pii", ["hash", "drop"])
def test_issues_and_names_and_explanations_show_nothing_that_a_name_announces(pii: Pii, tmp_path: Path) -> None:
    lines = [line(f"click_id=a&{query}") for query in SWALLOWED]
    (tmp_path / "a.log").write_text("\n".join(lines), encoding="utf-8")
    summary = etl.run([tmp_path / "a.log"], tmp_path / "out", pii=pii)
    rows = pl.read_parquet(tmp_path / "out" / "conversions").to_dicts()
    explained = [run("explain", one, "--pii", pii, "--json").stdout.decode() for one in lines]
    shown = [str(row) for row in rows] + explained + [str(summary)]
    assert len(rows) == len(SWALLOWED)
    assert [text for text in shown if SECRET in text] == []


def test_every_column_of_text_is_hidden_unless_it_is_our_own() -> None:
    columns = {column.name: column for table in etl.schema.TABLES for column in table.columns}
    assert {name for name, column in columns.items() if column.dtype == pl.String} >= OWN_COLUMNS
    sent = "by jo@example.com"
    for table in etl.schema.TABLES:
        rows = pl.DataFrame({name: [sent] for name, dtype in table.schema.items() if dtype == pl.String})
        (hidden,) = hide_in_columns(rows, "hash").to_dicts()
        assert {name for name, text in hidden.items() if text == sent} == {
            name for name in hidden if name in OWN_COLUMNS or name.endswith("_sha256")
        }
