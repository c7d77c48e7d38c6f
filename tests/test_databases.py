"""Tables in DuckDB and PostgreSQL: the same rows as in the Parquet files, replaced whole or not at all."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pytest

import etl
from etl.databases import duckdb_file, relations, views
from etl.errors import EtlError
from etl.runner.published_tables import Published
from etl.schema import CONVERSIONS, TABLES
from tests import adversary
from tests.commands import assert_refused, run
from tests.effort import draws, thorough
from tests.warehouses import lines

duckdb = pytest.importorskip("duckdb")
_CONNECTIONS: dict[str, Any] = {}
CHILDREN = ("issues", "items", "passthroughs")


class Database(NamedTuple):
    """A database: where `export` writes, and rows of a query, as the library of another program gives them."""

    to: str
    query: Callable[[str], list[tuple[Any, ...]]]

    def one(self, sql: str) -> Any:
        ((value,),) = self.query(sql)
        return value


def duckdb_at(file: Path) -> Database:
    def query(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(file), read_only=True) as database:
            database.execute("set timezone = 'UTC'")
            return pl.DataFrame(database.sql(sql).to_arrow_table()).rows()

    return Database(f"duckdb:{file}", query)


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A cursor; what it does is committed at the end."""
    if address not in _CONNECTIONS:
        _CONNECTIONS[address] = pytest.importorskip("adbc_driver_postgresql.dbapi").connect(address)
    connection = _CONNECTIONS[address]
    try:
        with closing(connection.cursor()) as cursor:
            yield cursor
        connection.commit()
    finally:
        connection.rollback()


def executed(address: str, *statements: str) -> None:
    with connected(address) as cursor:
        for statement in statements:
            cursor.execute(statement)


def postgresql_at(address: str) -> Database:
    def query(sql: str) -> list[tuple[Any, ...]]:
        with connected(address) as cursor:
            cursor.execute("set local search_path to postback_etl")
            cursor.execute(sql)
            table = cursor.fetch_arrow_table()
            columns = [
                _decimals(one) if isinstance(one.type, pa.OpaqueType) else one.to_pylist() for one in table.columns
            ]
            return [*zip(*columns, strict=True)]

    return Database(address, query)


def _decimals(column: Any) -> list[Decimal | None]:
    """The driver has numerics as texts of a type of its own."""
    return [text and Decimal(text) for chunk in column.chunks for text in chunk.storage.to_pylist()]


@pytest.fixture(scope="module", autouse=True)
def connections() -> Iterator[None]:
    """Connections to PostgreSQL stay open for the tests of this module, since opening costs most."""
    yield
    while _CONNECTIONS:
        _CONNECTIONS.popitem()[1].close()


@pytest.fixture
def postgresql(postgresql_address: str) -> Iterator[Database]:
    yield postgresql_at(postgresql_address)
    executed(postgresql_address, "drop schema if exists postback_etl cascade")


@pytest.fixture(params=["duckdb", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "postgresql":
        found: Database = request.getfixturevalue("postgresql")
        return found
    return duckdb_at(tmp_path / "tables.duckdb")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of two runs, and of the second a warehouse and its export; no test changes them."""
    base = tmp_path_factory.mktemp("stores")
    (base / "one.log").write_bytes(lines((1, "a", "t1")))
    (base / "two.log").write_bytes(lines((1, "b", "t1"), (2, "b", "t1"), (3, "c", "t2&value=5")))
    for name in ("one", "two"):
        etl.run(base / f"{name}.log", base / name)
    etl.load(base / "two.log", base / "warehouse")
    etl.export(base / "warehouse", base / "days")
    return base


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a record with values at the edges of types."""
    base = tmp_path_factory.mktemp("odd")
    sent = {**EDGES, "currency": "EUR", "timestamp": 1714521600, "xat_plan": "x\0y"}
    (base / "dump.jsonl").write_text(json.dumps(sent) + "\n", encoding="utf-8")
    etl.run(base / "dump.jsonl", base / "tables")
    return base / "tables"


EDGES = {"click_id": "a'\"\\\t🎉", "value": "99999999999999999999999999999.123456789"}


def expected(tables: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the Parquet files, and issues by their place."""
    rows = {table.name: pl.read_parquet(tables / table.name).select(table.names) for table in TABLES}
    conversions = rows["conversions"]
    issues = [
        (row["conversion_id"], position, *issue.values())
        for row in conversions.select("conversion_id", "issues").to_dicts()
        for position, issue in enumerate(row["issues"])
    ]
    rows["conversions"] = conversions.drop("issues")
    return {"issues": sorted(issues)} | {name: sorted(frame.rows()) for name, frame in rows.items()}


# --- what the tables hold ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of what the adversary invents, with all personal values."""
    base = tmp_path_factory.mktemp("hostile")
    (base / "a.log").write_bytes(adversary.log_lines(1, draws(150, 2000)))
    (base / "b.jsonl").write_bytes(adversary.json_lines(1, draws(250, 2000)))
    etl.run([base / "a.log", base / "b.jsonl"], base / "tables", pii="keep", account="a", integration="b")
    return base / "tables"


@pytest.mark.parametrize("tables", ["sample_tables", pytest.param("hostile", marks=thorough)])
def test_the_database_holds_the_rows_of_the_parquet_files(
    tables: str, request: pytest.FixtureRequest, database: Database
) -> None:
    store = request.getfixturevalue(tables)
    told = run("export", store, "--to", database.to).stdout.decode()
    assert tables == "hostile" or told.startswith("conversions: 3,657 rows\nissues: 227 rows\nitems: 916 rows\n")
    for name, rows in expected(store).items():
        columns = ", ".join(f'"{one}"' for one in _columns(name))
        key = 2 if name in CHILDREN else 1
        found = sorted(database.query(f"select {columns} from {name}"), key=lambda row: row[:key])
        kept = rows if database.to.startswith("duckdb") else [tuple(map(_without_nul, row)) for row in rows]
        assert kept
        assert found == sorted(kept, key=lambda row: row[:key]), name


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _columns(name: str) -> list[str]:
    if name == "issues":
        return etl.schema.ISSUES.names
    (table,) = (table for table in TABLES if table.name == name)
    return [column for column in table.names if column != "issues"]


def test_amounts_instants_and_texts_are_exact(odd: Path, database: Database) -> None:
    told = run("export", odd, "--to", database.to).stdout.decode()
    (row,) = database.query("select click_id, value, occurred_at, received_at, item_count from conversions")
    assert row == (EDGES["click_id"], Decimal(EDGES["value"]), datetime(2024, 5, 1, tzinfo=UTC), None, 0)
    keeps = database.to.startswith("duckdb")
    assert database.query("select value from passthroughs") == [("x\0y" if keeps else "x\ufffdy",)]
    assert ("passthroughs: 1 row; 1 value held U+0000" in told) == (not keeps)
    (total,) = database.query("select received_date, conversions, with_value, value, too_large from daily_totals")
    assert total == (None, 1, 1, None, 1)


def test_a_warehouse_and_its_export_are_exported_alike(stores: Path, odd: Path, database: Database) -> None:
    found = []
    for store in ("two", "warehouse", "days"):
        etl.export(stores / store, database.to)
        found.append(
            [database.query(f"select * from {name} order by 1, 2") for name in ("conversions", "items", "rejections")]
        )
        assert database.one("select store from _postback_etl") == str(stores / store)
    assert found[0] == found[1] == found[2]
    etl.export(stores / "warehouse", database.to, since="2024-05-02", until="2024-05-03")
    assert database.query("select (select count(*) from conversions), (select count(*) from rejections)") == [(0, 1)]
    etl.export(odd, database.to, since="2024-05-02")
    assert database.query("select received_at from conversions") == [(None,)]


# --- keys, comments and views -----------------------------------------------------------------------------------


def test_keys_and_comments_are_those_of_the_schema(postgresql: Database, stores: Path, tmp_path: Path) -> None:
    file = duckdb_at(tmp_path / "x.duckdb")
    for one in (postgresql, file):
        etl.export(stores / "two", one.to)
    by_duckdb = file.query(
        "select table_name, constraint_type, constraint_column_names from duckdb_constraints()"
        " where constraint_type in ('PRIMARY KEY', 'FOREIGN KEY') order by all"
    )
    by_postgresql = postgresql.query(
        "select relname::text, case contype when 'p' then 'PRIMARY KEY' else 'FOREIGN KEY' end, array(select"
        " attname::text from unnest(conkey) with ordinality k (n, i) join pg_attribute on attrelid = conrelid"
        " and attnum = n order by i) from pg_constraint join pg_class t on t.oid = conrelid"
        " where contype in ('p', 'f') and relnamespace = 'postback_etl'::regnamespace order by 1, 2, 3"
    )
    child = [(name, kind, key) for name in CHILDREN for kind, key in _KEYS]
    roots = [("conversions", "PRIMARY KEY", ["conversion_id"])]
    rest = [("rejections", "FOREIGN KEY", ["duplicate_of"]), ("rejections", "PRIMARY KEY", ["rejection_id"])]
    assert by_postgresql == roots + child + rest
    assert [(name, kind, [*key]) for name, kind, key in by_duckdb if kind[0] in "PF"] == roots + child + rest
    meanings = sorted((one.name, column.name, column.meaning) for one in _tables() for column in one.columns)
    assert meanings == file.query(
        "select table_name, column_name, comment from duckdb_columns() where not internal and comment is not null"
        " order by all"
    )
    assert meanings == sorted(
        postgresql.query(
            "select relname::text, attname::text, col_description(c.oid, attnum) from pg_class c join pg_attribute on"
            " attrelid = c.oid where relnamespace = 'postback_etl'::regnamespace and relkind <> 'i' and attnum > 0"
        )
    )
    assert duckdb_file.READABLE_SINCE in str(file.query("select tags from duckdb_databases()"))
    words = "One row is a conversion the endpoint would have recorded."
    assert file.one("select comment from duckdb_tables() where table_name = 'conversions'") == words
    assert postgresql.one("select obj_description('conversions'::regclass)") == words


_KEYS = (("FOREIGN KEY", ["conversion_id"]), ("PRIMARY KEY", ["conversion_id", "position"]))


def _tables() -> list[etl.schema.Table]:
    frames = (table.empty().lazy() for table in TABLES)
    listed = relations.relations_of(Published("", {}, *frames), etl.warehouse.stores.Period())
    return [*(one.table for one in listed), *(view.table for view in views.VIEWS)]


def test_the_views_agree_with_the_audit(sample_tables: Path, database: Database) -> None:
    etl.export(sample_tables, database.to)
    report = etl.audit(sample_tables, answers=["lead_trap", "match_quality"]).as_data()
    days = pl.read_parquet(sample_tables / "conversions").filter(pl.col("value").is_not_null())
    sums = days.group_by("currency").agg(pl.col("value").sum()).sort("currency", nulls_last=True).rows()
    by_view = "select currency, sum(value) from daily_totals where value is not null group by 1 order by 1 nulls last"
    assert [(name, Decimal(value)) for name, value in database.query(by_view)] == sums
    counts = {one["measure"]: one["count"] for answer in report["answers"] for one in answer["sheets"]["whole"]}
    assert database.one("select sum(conversions) from lead_trap") == counts["lead_by_default"] > 0
    names = [column.name for column in views.VIEWS[2].table.columns[3:]]
    (found,) = database.query(f"select {', '.join(f'sum({name})' for name in names)} from match_quality")
    assert dict(zip(names, map(int, found), strict=True)) == {name: counts[name] for name in names}
    assert counts["macro_key"] > 0


# --- replaced whole or not at all -------------------------------------------------------------------------------


def test_a_failed_export_leaves_the_former_whole(stores: Path, tmp_path: Path, database: Database) -> None:
    etl.export(stores / "one", database.to)
    broken = Path(shutil.copytree(stores / "two", tmp_path / "two"))
    (part,) = (broken / "passthroughs").iterdir()
    data = part.read_bytes()
    part.write_bytes(b"\0" * 200 + data[200:])
    with pytest.raises(EtlError, match=r"tables cannot be read|is not a Parquet file"):
        etl.export(broken, database.to)
    twice = Path(shutil.copytree(stores / "one", tmp_path / "twice"))
    shutil.copy(next((twice / "conversions").iterdir()), twice / "conversions" / "part-00001.parquet")
    with pytest.raises(EtlError, match=r"cannot be written.*(unique|[Dd]uplicate)"):
        etl.export(twice, database.to)
    assert database.query("select click_id from conversions") == [("a",)]
    assert not [path.name for path in tmp_path.iterdir() if "staging" in path.name]


def test_a_reader_sees_the_old_tables_until_the_new_are_there(
    stores: Path, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each table is copied, a reader looks."""
    from etl.databases import postgresql as writer

    etl.export(stores / "one", database.to)
    seen = []
    for module in (writer, duckdb_file):
        copy = module._copy

        def looking(*arguments: Any, copy: Any = copy, **named: Any) -> Any:
            seen.append(database.query("select click_id from conversions"))
            return copy(*arguments, **named)

        monkeypatch.setattr(module, "_copy", looking)
    etl.export(stores / "two", database.to)
    assert seen == [[("a",)]] * 6
    assert database.query("select click_id from conversions order by 1") == [("b",), ("c",)]
    assert [path.name for path in tmp_path.iterdir()] == ["tables.duckdb"] * database.to.startswith("duckdb")


def test_duckdb_has_no_keys_where_they_would_not_fit_into_memory(
    stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_file, "MOST_KEYED_ROWS", 3)
    finished = run("export", stores / "two", "--to", f"duckdb:{tmp_path / 'x.duckdb'}")
    assert "warning: The tables have 8 rows: too many for keys" in finished.stderr.decode()
    file = duckdb_at(tmp_path / "x.duckdb")
    assert file.query("select * from duckdb_constraints() where constraint_type <> 'CHECK'") == []
    assert file.one("select count(*) from conversions") == 2


# --- what is refused --------------------------------------------------------------------------------------------


def test_a_file_that_no_export_wrote_is_refused(stores: Path, tmp_path: Path) -> None:
    store = shutil.copytree(stores / "one", tmp_path / "tables")
    (tmp_path / "text.duckdb").write_text("mine", encoding="utf-8")
    with duckdb.connect(str(tmp_path / "mine.duckdb")) as mine:
        mine.execute("create table mine (a int)")
    etl.export(store, f"duckdb:{tmp_path / 'open.duckdb'}")
    for target, code, words in (
        ("duckdb:text.duckdb", 2, "is no DuckDB file"),
        ("duckdb:mine.duckdb", 2, "holds tables that no export wrote"),
        ("duckdb:tables/x.duckdb", 2, "lies in the store"),
        ("duckdb:none/x.duckdb", 1, "does not exist"),
        ("duckdb:.", 2, "is not a file"),
        ("x.duckdb", 2, "give duckdb:x.duckdb"),
        ("mysql://u:secret@db.example.com/x", 2, "mysql://***@db.example.com/x"),
        ("days", 2, "are plain Parquet already"),
    ):
        assert_refused(run("export", store, "--to", target, code=code, cwd=tmp_path), words)
    refused = run("export", store, "--to", "duckdb:x.duckdb", "--schema", "a", code=2, cwd=tmp_path)
    assert_refused(refused, "Only PostgreSQL has a --schema")
    assert_refused(run("export", store, code=2), "STORE and --to are needed")


def test_a_file_that_another_program_writes_is_refused(stores: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.duckdb"
    etl.export(stores / "one", f"duckdb:{file}")
    other = f"import duckdb; open = duckdb.connect({str(file)!r}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", other], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        finished = run("export", stores / "two", "--to", f"duckdb:{file}", code=1)
        holder.communicate(b"\n")
    assert_refused(finished, "is open in another program")
    (tmp_path / "x.duckdb.wal").touch()
    assert_refused(run("export", stores / "two", "--to", f"duckdb:{file}", code=1), "holds changes of another program")


def test_a_full_disk_leaves_the_file_as_it_was(stores: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.duckdb"
    etl.export(stores / "one", f"duckdb:{file}")
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        finished = run("export", stores / "two", "--to", f"duckdb:{file}", code=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert_refused(finished, "cannot be written")
    assert file.read_bytes() == before
    assert not (tmp_path / ".x.duckdb.staging").exists()


def test_a_schema_that_no_export_wrote_is_refused(postgresql: Database, stores: Path) -> None:
    store = stores / "one"
    for schema in ("pg_catalog", "public"):
        refused = run("export", store, "--to", postgresql.to, "--schema", schema, code=2)
        assert_refused(refused, "which no export wrote")
    etl.export(store, postgresql.to)
    executed(postgresql.to, "create view public.report as select * from postback_etl.conversions")
    finished = run("export", store, "--to", postgresql.to, code=1)
    assert_refused(finished, "view report depends on table", "Drop what depends on the tables")
    executed(postgresql.to, "drop view public.report", "create table postback_etl.mine (a int)")
    assert_refused(run("export", store, "--to", postgresql.to, code=1), "mine")
    assert postgresql.one("select count(*) from conversions") == 1


def test_privileges_stay(postgresql: Database, stores: Path) -> None:
    store = stores / "one"
    etl.export(store, postgresql.to)
    executed(
        postgresql.to,
        'create role "an alyst" login',
        'grant usage on schema postback_etl to "an alyst"',
        'grant select on postback_etl.conversions, postback_etl.daily_totals to "an alyst"',
    )
    try:
        etl.export(store, postgresql.to)
        analyst = postgresql_at(postgresql.to.replace("postgres@", "an%20alyst@"))
        assert analyst.one("select count(*) from daily_totals") == 1
        with pytest.raises(Exception, match="permission denied"):
            analyst.query("select * from rejections")
    finally:
        executed(postgresql.to, "drop schema postback_etl cascade", 'drop role "an alyst"')


def test_two_exports_at_once_do_not_mix(postgresql: Database, stores: Path) -> None:
    store = stores / "one"
    with connected(f"{postgresql.to}&application_name=other") as other:
        other.execute("select pg_advisory_xact_lock(hashtext('postback-etl'), hashtext('postback_etl'))")
        other.fetchall()
        assert_refused(run("export", store, "--to", postgresql.to, code=1), "Another export writes")


def test_a_reader_that_does_not_end_is_waited_for_but_not_for_ever(
    postgresql: Database, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl.databases import postgresql as writer

    etl.export(stores / "one", postgresql.to)
    monkeypatch.setattr(writer, "_PATIENCE", "10ms")
    monkeypatch.setattr(writer, "_ATTEMPTS", 2)
    with connected(f"{postgresql.to}&application_name=other") as other:
        other.execute("select click_id from postback_etl.conversions")
        assert other.fetchall() == [("a",)]
        refused = run("export", stores / "two", "--to", postgresql.to, code=1)
        assert_refused(refused, "is being read by a query that does not end")
    etl.export(stores / "two", postgresql.to)
    assert postgresql.one("select count(*) from conversions") == 2


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://jo:s3cr/et@127.0.0.1:1/db",
        "postgresql://jo:s3cr@et@127.0.0.1:1/db",
        "postgresql://jo:s3cr%zzet@127.0.0.1:1/db",
        "postgresql://jo:s3cret@127.0.0.1:1/db",
        "postgresql://jo@127.0.0.1:1/db?password=s3cret",
        "postgresql://jo@127.0.0.1:1/db?sslpassword=s3cret&sslmode=no",
    ],
)
def test_a_password_is_never_shown(address: str, sample_tables: Path) -> None:
    pytest.importorskip("adbc_driver_postgresql")
    for words in (["--debug"], ["--events", "json"]):
        finished = run("export", sample_tables, "--to", address, *words, code=1)
        text = (finished.stdout + finished.stderr).decode()
        assert "cannot be reached" in text
        assert "s3cr" not in text
    slipped = run("export", sample_tables, address, code=2)
    assert "s3cr" not in slipped.stderr.decode()


def test_a_library_that_is_missing_is_named(
    sample_tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("duckdb", "adbc_driver_postgresql.dbapi"):
        monkeypatch.setitem(sys.modules, module, None)
    for target in (f"duckdb:{tmp_path}/x.duckdb", "postgresql://jo:s3cret@db.example.com/x"):
        refused = run("export", sample_tables, "--to", target, code=2)
        assert_refused(refused, "which is not installed", "pip install 'postback-etl[databases]'")


def test_conversions_have_no_list_of_issues_there() -> None:
    assert [one.name for one in CONVERSIONS.columns if isinstance(one.dtype, pl.List)] == ["issues"]
