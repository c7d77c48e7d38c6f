"""A person is forgotten, or what is old: the values and their hashes go, and all else stays."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.errors import UsageError
from etl.privacy.persons import name_person, read_person
from etl.runner.publish import MANIFEST
from etl.schema import CONVERSIONS, PERSONAL_COLUMNS, TABLES
from etl.sources.formats.registry import FORMATS
from etl.warehouse.forget_person import forget_person
from etl.warehouse.maintenance import forget, vacuum
from etl.warehouse.replay import replay
from etl.warehouse.retention import retain
from etl.warehouse.snapshots import open_for_writing
from etl.warehouse.verify import verify
from tests.commands import assert_refused, run
from tests.effort import draws, thorough
from tests.sentinels import PERSON, Corpus
from tests.sentinels import left_in as left_in_bytes
from tests.warehouses import tables

#: The person has two spellings of one address, and a telephone number; no other value of a record holds these.
VALUES = ("Jo.Quux@gmail.com", "joquux+shop@gmail.com", "+1 555 876 5432")
OTHER = "ann@example.com"

RECORDS = (
    (
        1,
        "click_id=a&transaction_id=t1&value=5&email=Jo.Quux%40gmail.com&first_name=Joquim&xat_plan=gold&items[0][id]=1",
    ),
    (2, "click_id=a&transaction_id=t1&value=5&email=joquux%2Bshop@gmail.com&items[0][id]=1&xat_mail=joquux@gmail.com"),
    (2, "email=jo.quux@gmail.com&transaction_id=t9&value=7"),
    (3, "email=jo.quux@gmail.com&transaction_id=t9&value=7"),
    (3, "email=Jo.Quux@gmail.com&transaction_id=t9&value=8"),
    (2, f"click_id=b&transaction_id=t2&value=3&phone=%2B1+(555)+876-5432&city=Quuxburg&email={OTHER}"),
    (2, "click_id=c&transaction_id=joquux@gmail.com-1&value=3"),
    (3, "click_id=c&transaction_id=joquux@gmail.com-1&value=3"),
    (4, "note=x&u=https%3A%2F%2Fx%3Fmail%3Djoquux%2540gmail.com"),
    (4, "click_id=q&conversion_type=nope&phone=15558765432"),
    (4, "value=1&joquux%40gmail.com=x"),
    *((day, f"click_id=n{day}&transaction_id=n{day}&value=2&email={OTHER}&last_name=Zyx&xat_a=1") for day in (1, 3)),
    (4, f"click_id=z&conversion_type=nope&email={OTHER}"),
)

#: What must not stand anywhere afterwards: the values, what they are made of, and their hashes.
FORMS = {"joquux", "jo.quux", "5558765432", "876-5432", "joquim", "quuxburg"}
FORMS |= {
    hashlib.sha256(form.encode()).hexdigest()
    for form in (
        *("jo.quux@gmail.com", "joquux@gmail.com", "joquux+shop@gmail.com", "15558765432", "+15558765432"),
        *("joquim", "quuxburg"),
    )
}

Store = Callable[[str], Path]


def log_of(*records: tuple[int, str]) -> bytes:
    line = '192.0.2.7 - - [{0:02}/May/2024:12:00:00 +0000] "GET /acme/collect/shop?{1}&currency=EUR HTTP/1.1" 200 2\n'
    return "".join(line.format(*record) for record in records).encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For `hash` and `keep` a log, a warehouse, its export, and the folder of a run."""
    folder = tmp_path_factory.mktemp("made")
    for pii in ("hash", "keep"):
        (folder / pii).mkdir()
        (folder / pii / "a.log").write_bytes(log_of(*RECORDS))
        etl.load([folder / pii / "a.log"], folder / pii / "warehouse", pii=pii)
        run("export", "--into", folder / pii / "warehouse", "--out", folder / pii / "export")
        etl.run([folder / pii / "a.log"], folder / pii / "run", pii=pii)
    return folder


@pytest.fixture(params=["hash", pytest.param("keep", marks=thorough)])
def folder(request: pytest.FixtureRequest, made: Path, tmp_path: Path) -> Path:
    copied = Path(shutil.copytree(made / request.param, tmp_path / "f"))
    manifest = json.loads((copied / "export" / MANIFEST).read_bytes())
    (copied / "export" / MANIFEST).write_text(json.dumps(manifest | {"warehouse": str(copied / "warehouse")}))
    return copied


@pytest.fixture
def warehouse(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "hash" / "warehouse", tmp_path / "warehouse"))


def stores(folder: Path) -> list[Path]:
    return [folder / name for name in ("warehouse", "export", "run")]


def state(place: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def left_in(place: Path) -> set[str]:
    """The forms of the values that stand in any file, and in any column of a table."""
    found = set()
    for path, data in state(place).items():
        text = data.decode("latin-1").lower()
        if path.suffix == ".parquet" and not path.name.endswith(".checkpoint.parquet"):
            text += str(pl.read_parquet(path, hive_partitioning=False).to_dicts()).lower()
        found |= {form for form in FORMS if form in text}
    return found


def rows_of(store: Path) -> dict[str, pl.DataFrame]:
    if (store / "snapshot.json").exists():
        return {name: pl.DataFrame(rows, infer_schema_length=None) for name, rows in tables(store).items()}
    return {
        table.name: pl.read_parquet(store / table.name / "**/*.parquet", hive_partitioning=False).sort(pl.first())
        for table in TABLES
    }


def kept(store: Path) -> dict[str, list[dict[str, Any]]]:
    """What must stay: ids, times, amounts, counts and reasons."""
    names = (
        *("conversion_id", "rejection_id", "position", "received_at", "occurred_at", "value", "currency", "price"),
        *("click_id", "item_count", "passthrough_count", "reason", "duplicate_of", "duplicate_kind", "record_no"),
    )
    return {
        table: rows.select(name for name in names if name in rows.columns and table != "passthroughs").to_dicts()
        for table, rows in rows_of(store).items()
    }


# --- what names a person --------------------------------------------------------------------------------------

SHA = hashlib.sha256(b"jo.quux@gmail.com").hexdigest()

NAMING = (
    "by Jo.Quux@GMAIL.com.",
    '{"a":"\\u006ao.quux\\u0040gmail.com"}',
    '{\\"a\\":\\"jo.quux@gmail.com\\"}',
    "jo.quux\\x40gmail.com",
    "/x?a=%6Ao.quux%2540gmail.com&b=1",
    "a=j.o.quux%2Bx%40gmail.com",
    f"email=sha256:{SHA}&x=1",
    f"em={SHA.upper()}",
    f"em={hashlib.md5(b'joquux@gmail.com').hexdigest()}",
    f"m={hashlib.sha1(b'jo.quux@gmail.com').hexdigest()}",
    "data=" + base64.b64encode(b'{"email":"jo.quux@gmail.com"}').decode(),
    '"+1 (555) 876-5432"',
    "phone=%2B1%20555%20876%205432&x",
    "phone=+1+555+876+5432 HTTP/1.1",
    "15558765432",
    "2024-05-01 15558765432 200 12",
    "0015558765432",
)
NOT_NAMING = (
    *("", "banjo.quux@gmail.com", "jo.quux@gmail.com.example", "jo.quux@gmail.co", "jo.quux@example.com", "joquux"),
    *("5558765432", "115558765432", "155587654321", "1555876543", "x15558765432", SHA[:63], "sha256:redacted"),
)


def test_a_text_names_a_person_however_it_is_written() -> None:
    person = read_person(["jo.quux@gmail.com", "+1 555 876 5432"])
    found = name_person(person, pl.Series([*NAMING, *NOT_NAMING, None])).to_list()
    assert [text for text, named in zip(NAMING, found, strict=False) if not named] == []
    assert [text for text, named in zip((*NOT_NAMING, None), found[len(NAMING) :], strict=True) if named] == []


def test_a_person_is_found_in_every_format_and_spelling() -> None:
    corpus = Corpus(1)
    texts = [text for row in FORMATS for text in corpus.of_format(row)][:: draws(9, 2)]
    held = {text: {int(one[3:]) for one in left_in_bytes(text) if one.startswith(b"wxv")} for text in texts}
    parts = re.compile(r"word|torn")  # an address that is glued to a word, or breaks off, is another
    whole = {text: found for text, found in held.items() if not any(parts.search(corpus.made[one]) for one in found)}
    numbers = sorted(set().union(*whole.values()))
    person = read_person([PERSON["email"].format(number) for number in numbers])
    named = name_person(person, pl.Series([text.decode("utf-8", "replace") for text in whole])).to_list()
    assert len(numbers) > 50
    assert [text for (text, found), is_named in zip(whole.items(), named, strict=True) if bool(found) != is_named] == []


def test_a_hash_finds_the_plain_value() -> None:
    for value in (SHA, hashlib.md5(b"15558765432").hexdigest()):
        found = name_person(read_person([f"sha256:{value}"]), pl.Series(["by Jo.Quux@gmail.com", "+1 (555) 876-5432"]))
        assert found.to_list() == [value == SHA, value != SHA]


@pytest.mark.parametrize("value", ["-", "jo", "jo@", "12345", "abcdefg1234567", "0000000", "f" * 63])
def test_what_is_no_value_is_refused_and_not_shown(value: str, warehouse: Path) -> None:
    finished = run("forget-person", warehouse, "--person", "-", stdin=f"{VALUES[0]}\n\n{value}\n".encode(), code=2)
    assert_refused(finished, "Value 2 of --person is no e-mail address")
    assert f"{value!r}" not in finished.stderr.decode()
    with pytest.raises(UsageError, match="No person is named"):
        read_person([])


def test_the_personal_columns_are_those_that_the_modes_hide() -> None:
    hidden = {column.name for column in CONVERSIONS.columns if "null unless --pii keep" in column.meaning}
    assert hidden < PERSONAL_COLUMNS
    assert {"raw", "client_ip", "email_sha256", "zipcode_sha256"} < PERSONAL_COLUMNS


# --- a person in all stores -----------------------------------------------------------------------------------


def test_a_person_is_found_and_nothing_is_changed_or_shown(folder: Path, tmp_path: Path) -> None:
    before = state(folder)
    words = ("forget-person", *stores(folder), "--person", "-", "--proof", tmp_path / "proof.json")
    finished = run(*words, stdin="\n".join(VALUES).encode())
    assert state(folder) == before
    assert b"Nothing was changed: --apply" in finished.stderr
    proof = (tmp_path / "proof.json").read_text(encoding="utf-8")
    shown = finished.stdout.decode() + finished.stderr.decode() + proof
    assert {form for form in FORMS if form in shown.lower()} == set()
    for store in json.loads(proof)["stores"]:
        assert store["records"] == 11
        assert sum(item["records"] for item in store["inputs"]) == 11
        assert store["kept"]["value_total"] == {"EUR": "22"}
        of_files = {name: sum(table["files"].values()) for name, table in store["tables"].items()}
        assert of_files == {name: table["rows"] for name, table in store["tables"].items()}
        assert store["tables"]["rejections"]["rows"] == 7
        assert store["tables"]["conversions"]["columns"]["email_sha256"] == 3
    assert "a.log: 11 records" in finished.stdout.decode()


def test_a_person_is_forgotten_in_all_files_and_all_else_stays(folder: Path, tmp_path: Path) -> None:
    before = {store: (kept(store), rows_of(store)) for store in stores(folder)}
    words = ("forget-person", *stores(folder), "--person", "-", "--apply", "--proof")
    finished = run(*words, tmp_path / "proof.json", stdin="\n".join(VALUES).encode())
    assert f"postback-etl vacuum --into {folder / 'warehouse'}" in finished.stderr.decode()
    assert left_in(folder / "warehouse")  # in files of earlier versions
    last = max((folder / "warehouse" / "conversions" / "_delta_log").glob("*.json")).read_text(encoding="utf-8")
    assert '"command":"forget-person"' in last
    vacuum(str(folder / "warehouse"), 0, is_safe=False)
    for store, (stays, rows) in before.items():
        assert left_in(store) == set()
        assert kept(store) == stays
        for table, after in rows_of(store).items():
            is_other = pl.concat_str(pl.col(name) for name in ("click_id", "raw") if name in after.columns)
            if table in ("conversions", "rejections"):
                of_others = rows[table].filter(is_other.str.contains(r"^n\d|click_id=z"))
                assert of_others.height > 0
                assert of_others.join(after, on=of_others.columns[0], how="semi").equals(
                    after.filter(is_other.str.contains(r"^n\d|click_id=z"))
                )
    assert verify(str(folder / "warehouse")) == []
    proof = json.loads((tmp_path / "proof.json").read_bytes())
    assert [store["records"] for store in proof["stores"]] == [11, 11, 11]
    run("audit", folder / "run", "-q")
    run("export", "--into", folder / "warehouse", "--out", folder / "export")
    assert left_in(folder / "export") == set()
    assert_refused(run(*words, tmp_path / "proof.json", stdin=VALUES[0].encode(), code=2), "earlier command")
    again = json.loads(run(*words, "-", stdin="\n".join(VALUES).encode()).stdout)
    assert [(store["records"], store["tables"]) for store in again["stores"]] == [(0, {})] * 3


@pytest.mark.parametrize(("value", "pii"), [("joquux+shop@gmail.com", "hash"), (SHA, "hash"), (SHA, "keep")])
def test_an_address_or_its_hash_finds_all_its_spellings(value: str, pii: str, made: Path) -> None:
    (store,) = forget_person([str(made / pii / "warehouse")], read_person([value]))["stores"]
    assert store["records"] == 9


def test_a_warehouse_goes_on_after_a_person_was_forgotten(warehouse: Path, made: Path, tmp_path: Path) -> None:
    before = kept(warehouse)
    forget_person([str(warehouse)], read_person(VALUES), is_applied=True)
    assert replay(str(warehouse), etl.Ruleset())["left"] == [
        {"count": 3, "why": "its raw record was removed by `forget-person` or `loads retention`"}
    ]
    assert etl.load([made / "hash" / "a.log"], warehouse)["run_id"] is None
    (tmp_path / "b.log").write_bytes(
        log_of((1, "click_id=a&transaction_id=t9&value=7"), (9, "click_id=b&transaction_id=t2"))
    )
    report = etl.load([tmp_path / "b.log"], warehouse)
    assert report["duplicates"] == 1
    assert verify(str(warehouse)) == []
    forget(str(tmp_path / "b.log"), str(warehouse))
    assert verify(str(warehouse)) == []
    assert kept(warehouse) == before
    vacuum(str(warehouse), 0, is_safe=False)
    assert left_in(warehouse) == set()


def test_a_forgotten_record_stays_empty_when_its_input_is_loaded_again(
    warehouse: Path, made: Path, tmp_path: Path
) -> None:
    before = kept(warehouse)
    forget_person([str(warehouse)], read_person(VALUES), is_applied=True)
    emptied = rows_of(warehouse)
    assert etl.load([made / "hash" / "a.log"], warehouse, reload=True)["conversions"] == 6
    assert kept(warehouse) == before
    assert [table for table, rows in rows_of(warehouse).items() if not rows.equals(emptied[table])] == []
    assert verify(str(warehouse)) == []
    grown = tmp_path / "grown.log"
    grown.write_bytes((made / "hash" / "a.log").read_bytes() + log_of((4, "click_id=new&email=kim@example.com")))
    for _ in range(2):
        assert etl.load([grown], warehouse, reload=True)["conversions"] == 7
        assert verify(str(warehouse)) == []
        vacuum(str(warehouse), 0, is_safe=False)
        assert left_in(warehouse) == set()
    assert rows_of(warehouse)["conversions"]["email_sha256"].drop_nulls().len() == 3
    (loaded,) = etl.scan(str(warehouse), "loads").collect()["emptied"].to_list()
    assert loaded == list(range(1, 12))


def test_an_input_whose_name_names_the_person_is_not_shown(tmp_path: Path) -> None:
    named = tmp_path / f"{VALUES[0]}.log"
    named.write_bytes(log_of(RECORDS[0]))
    etl.load([named], tmp_path / "warehouse")
    finished = run("forget-person", tmp_path / "warehouse", "--person", VALUES[0], "--apply", "--proof", "-")
    assert b"quux" not in (finished.stdout + finished.stderr).lower()
    assert b"1 name of an input names the person" in finished.stderr


# --- all or nothing -------------------------------------------------------------------------------------------


class _KilledError(BaseException):
    """Stands for a SIGKILL: nothing catches it."""


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("delta.commit", 3),
        pytest.param("file_storage.publish", 2, marks=thorough),
        pytest.param("file_storage.replace", 1, marks=thorough),
    ],
)
def test_a_warehouse_that_was_left_halfway_is_as_it_was(
    where: str, number: int, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, person = tables(warehouse), read_person(VALUES)
    module, name = where.split(".")
    call, count = getattr(import_module(f"etl.warehouse.{module}"), name), iter(range(1, 100))

    def deadly(*given: Any, **named: Any) -> Any:
        if next(count) == number:
            raise _KilledError
        return call(*given, **named)

    monkeypatch.setattr(f"etl.warehouse.{where}", deadly)
    with pytest.raises(_KilledError):
        forget_person([str(warehouse)], person, is_applied=True)
    monkeypatch.undo()
    assert tables(warehouse) == before
    forget_person([str(warehouse)], person, is_applied=True)
    assert verify(str(warehouse)) == []
    vacuum(str(warehouse), 0, is_safe=False)
    assert left_in(warehouse) == set()


@pytest.mark.parametrize("name", ["run", "export"])
def test_a_folder_that_was_left_halfway_is_as_it_was(
    name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Path(shutil.copytree(made / "hash" / name, tmp_path / name))
    before = state(store)
    with monkeypatch.context() as patched:
        patched.setattr("etl.runner.publish._swap_folders", raise_killed)
        with pytest.raises(_KilledError):
            forget_person([str(store)], read_person(VALUES), is_applied=True)
    assert state(store) == before
    forget_person([str(store)], read_person(VALUES), is_applied=True)
    assert left_in(store) == set()


def raise_killed(*_: Any) -> Iterator[None]:
    raise _KilledError


def test_another_writer_is_told(warehouse: Path, made: Path) -> None:
    words = ("forget-person", warehouse, "--person", VALUES[0])
    with open_for_writing(str(warehouse)):
        assert_refused(run(*words, "--apply", code=1), "is locked by another run")
        assert_refused(run("loads", "retention", "1d", "--into", warehouse, code=1), "is locked by another run")
        run(*words)
    assert_refused(run("forget-person", made, "--person", VALUES[0], code=2), "is no folder of a run")


# --- what is old ----------------------------------------------------------------------------------------------


def test_what_is_old_goes_and_what_is_younger_stays(folder: Path) -> None:
    warehouse = folder / "warehouse"
    before, rows = kept(warehouse), rows_of(warehouse)
    planned = retain(str(warehouse), 10, is_dry_run=True, today=date(2024, 5, 13))
    assert tables(warehouse) == {name: frame.to_dicts() for name, frame in rows.items()}
    done = retain(str(warehouse), 10, today=date(2024, 5, 13))
    assert done["tables"].keys() == planned["tables"].keys()
    assert {name: table["rows"] for name, table in done["tables"].items()} == {
        name: table["rows"] for name, table in planned["tables"].items()
    }
    assert kept(warehouse) == before
    assert verify(str(warehouse)) == []
    after = rows_of(warehouse)
    for table in ("conversions", "rejections"):
        young = pl.col("received_at").dt.date() >= date(2024, 5, 3)
        assert after[table].filter(young).equals(rows[table].filter(young))
        old = after[table].filter(~young)
        assert [name for name in PERSONAL_COLUMNS & {*old.columns} if old[name].null_count() < old.height] == []
    assert retain(str(warehouse), 10, today=date(2024, 5, 13))["run_id"] is None
    retain(str(warehouse), 10, today=date(2024, 5, 20))
    assert verify(str(warehouse)) == []
    assert kept(warehouse) == before
    vacuum(str(warehouse), 0, is_safe=False)
    assert left_in(warehouse) == set()


def test_rows_without_a_time_are_as_old_as_their_load(tmp_path: Path) -> None:
    record = {"email": VALUES[0], "transaction_id": "t1", "xat_phone": "5558765432", "items": [{"id": VALUES[0]}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    warehouse = tmp_path / "warehouse"
    etl.load([tmp_path / "a.jsonl"], warehouse, account="acme", integration="shop")
    (loaded,) = etl.scan(str(warehouse), "loads").collect()["loaded_at"].dt.date()
    assert retain(str(warehouse), 5, today=loaded)["tables"] == {}
    done = retain(str(warehouse), 5, today=date.fromordinal(loaded.toordinal() + 6))
    assert {*done["tables"]} == {"keys", "conversions", "items", "passthroughs"}
    assert verify(str(warehouse)) == []


def test_retention_is_a_command(warehouse: Path, tmp_path: Path) -> None:
    planned = run("loads", "retention", "400d", "--into", warehouse, "--dry-run").stdout.decode()
    assert "conversions: 6 rows: " in planned
    done = run("loads", "retention", "400d", "--into", warehouse)
    assert "conversions: 6 rows: " in done.stdout.decode()
    assert b"vacuum --into" in done.stderr
    assert run("loads", "retention", "400d", "--into", warehouse).stdout == b""
    assert_refused(run("loads", "retention", "400", "--into", warehouse, code=2), "is not a period")
    assert_refused(run("loads", "retention", "4d", "--into", tmp_path, code=2), "is no")
