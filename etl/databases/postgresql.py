"""Writes the tables of a store into a schema of PostgreSQL, by ADBC.

A first transaction fills a schema of another name. A second, short transaction drops the former schema and gives the
new schema its name. In one transaction, a reader that waits for its end could see the new tables without their rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Any, Final
from zlib import crc32

from etl.databases.relations import ORIGIN, Relation, comments, literal, quoted
from etl.databases.row_streams import Copied, RowStream
from etl.databases.views import VIEWS
from etl.errors import InterruptedRunError, OutputError, UsageError, masked
from etl.runner.stage_inputs import Progress

#: Schema of the tables, unless the caller names another.
SCHEMA: Final = "postback_etl"

#: The schema that every database has.
_SHARED: Final = "public"

_DEPENDENT_OBJECTS: Final = "2BP01"
_CANCELLED: Final = "canceling statement due to user request"

_SECONDS: Final = 0.2

#: How long an attempt to drop the former tables waits for readers, and the number of attempts: five minutes.
_PATIENCE: Final = "2s"
_ATTEMPTS: Final = 150
_DROP: Final = """
do $drop$ begin
  drop view if exists {views};
  drop table if exists {tables};
  drop schema if exists {schema};
exception when lock_not_available then null;
end $drop$
"""

#: The privileges on a schema and its tables, as statements that grant them on the new schema.
_GRANTS: Final = """
select format('grant %s on %s %s to %s%s', a.privilege_type, o.kind, o.name,
  case a.grantee when 0 then 'public' else quote_ident(r.rolname) end,
  case when a.is_grantable then ' with grant option' else '' end)
from (
  select 'schema' as kind, quote_ident({new}) as name, nspacl as acl, nspowner as owner
  from pg_namespace where nspname = {schema}
  union all
  select 'table', format('%I.%I', {new}, relname), relacl, relowner
  from pg_class join pg_namespace n on n.oid = relnamespace where nspname = {schema} and relname in ({names})
) o cross join lateral aclexplode(o.acl) a left join pg_roles r on r.oid = a.grantee
where a.grantee <> o.owner order by 1
"""


def write_postgresql(address: str, schema: str, relations: Sequence[Relation], progress: Progress) -> list[Copied]:
    """Writes the tables and views into a schema, whole or not at all.

    Args:
        address: `postgresql://USER@HOST/DATABASE`; what it lacks comes from the environment (PGPASSWORD and alike).
        schema: The schema; it may hold an earlier export. Privileges that were granted on it and its tables stay.
        relations: The tables.
        progress: Receives the phase in which the schema changes.

    Raises:
        UsageError: The driver is not installed, or the schema holds what no export wrote.
        OutputError: The database cannot be reached or written; the schema is unchanged.
    """
    dbapi = _library()
    place = f"the schema {schema!r} of {masked(address)}"
    new = f"_postback_etl_{crc32(schema.encode()):08x}"
    with _connected(dbapi, address) as connection, _as_output_errors(dbapi, place):
        cursor = connection.cursor()
        try:
            _check_schema(cursor, schema, relations)
            connection.rollback()
            copied = _fill(cursor, new, relations)
            connection.commit()
            _swap(cursor, schema, new, relations)
            progress.begin("publishing", 0)
            connection.commit()
        except BaseException:
            with suppress(dbapi.Error):  # if this fails, the next export does it
                connection.rollback()
                cursor.execute(f"drop schema if exists {quoted(new)} cascade")
                connection.commit()
            raise
        finally:
            cursor.close()
    return copied


def _fill(cursor: Any, new: str, relations: Sequence[Relation]) -> list[Copied]:
    """Creates a schema with the tables and views."""
    for statement in (
        f"drop schema if exists {quoted(new)} cascade",  # what a killed export has left
        f"create schema {quoted(new)}",
        f"set local search_path to {quoted(new)}",
    ):
        cursor.execute(statement)
    copied = [_copy(cursor, new, relation) for relation in relations]
    for statement in (*_keys(relations), *_views()):
        cursor.execute(statement)
    return copied


def _swap(cursor: Any, schema: str, new: str, relations: Sequence[Relation]) -> None:
    """Drops the former schema, and gives the new schema its name and privileges.

    Raises:
        OutputError: The former tables are being read for all the time.
    """
    grants = _rows(cursor, _grants(schema, new, relations))
    if not _drop(cursor, schema, relations, _ATTEMPTS):
        raise OutputError(
            f"The schema {schema!r} is being read by a query that does not end.",
            "End the query, which pg_stat_activity shows, and run again.",
        )
    for statement in (
        *(grant for (grant,) in grants),
        f"alter schema {quoted(new)} rename to {quoted(schema)}",
    ):
        cursor.execute(statement)


def _copy(cursor: Any, schema: str, relation: Relation) -> Copied:
    """Creates a table in a schema and copies its rows."""
    for statement in (relation.create_statement(), *comments("table", relation.table)):
        cursor.execute(statement)
    stream = RowStream(relation.name, relation.rows, takes_nul=False)
    # In the main thread the driver would hold back an interrupt until all rows are sent.
    with stream.opened() as batches, ThreadPoolExecutor(1) as thread:
        sent = thread.submit(cursor.adbc_ingest, relation.name, batches, mode="append", db_schema_name=schema)
        try:
            while not wait([sent], _SECONDS).done:  # a signal that another thread has received does not end a wait
                pass
            return stream.copied(sent.result())
        except BaseException:
            stream.stop()
            raise


def _keys(relations: Sequence[Relation]) -> Iterator[str]:
    """Yields the statements that add keys, which is faster once the rows are there."""
    for relation in relations:
        yield from (f"alter table {quoted(relation.name)} add {constraint}" for constraint in relation.constraints)
    yield from (f"analyze {quoted(relation.name)}" for relation in relations)


def _views() -> Iterator[str]:
    for view in VIEWS:
        yield view.create_statement
        yield from comments("view", view.table)


def _check_schema(cursor: Any, schema: str, relations: Sequence[Relation]) -> None:
    """Locks a schema against other exports, and refuses one that cannot be replaced, before any row is copied.

    It tries to drop the former tables; the caller rolls that back. The lock ends with the connection.

    Raises:
        UsageError: The schema is refused.
        OutputError: Another export writes to it.
    """
    key = f"hashtext('postback-etl'), hashtext({literal(schema)})"
    if _rows(cursor, f"select pg_try_advisory_lock({key})") == [(False,)]:
        raise OutputError(
            f"Another export writes to the schema {schema!r}.", "Wait until it ends, or name another --schema."
        )
    held = f"from pg_class where relnamespace = to_regnamespace({literal(quoted(schema))})"
    names = {name for (name,) in _rows(cursor, f"select relname {held}")}
    if ORIGIN.name not in names and (names or schema == _SHARED):
        what = repr(min(names)) if names else "objects of others"
        raise UsageError(f"The schema {schema!r} holds {what}, which no export wrote.", "Name another --schema.")
    _drop(cursor, schema, relations, 1)


def _drop(cursor: Any, schema: str, relations: Sequence[Relation], attempts: int) -> bool:
    """Drops what an export wrote into a schema, and the schema; fails if anything else is in it or depends on it.

    Each attempt waits for readers for a short time, because later readers have to wait behind it.

    Returns:
        Whether an attempt succeeded.
    """

    def listed(names: list[str]) -> str:
        return ", ".join(f"{quoted(schema)}.{quoted(name)}" for name in names)

    views, tables = [view.table.name for view in VIEWS], [relation.name for relation in relations]
    statement = _DROP.format(views=listed(views), tables=listed(tables), schema=quoted(schema))
    cursor.execute(f"set local lock_timeout = {literal(_PATIENCE)}")
    for _ in range(attempts):
        cursor.execute(statement)
        if _rows(cursor, f"select to_regnamespace({literal(quoted(schema))}) is null") == [(True,)]:
            return True
    return False


def _grants(schema: str, new: str, relations: Sequence[Relation]) -> str:
    names = [*(relation.name for relation in relations), *(view.table.name for view in VIEWS)]
    return _GRANTS.format(new=literal(new), schema=literal(schema), names=", ".join(map(literal, names)))


def _rows(cursor: Any, query: str) -> list[tuple[Any, ...]]:
    cursor.execute(query)
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


@contextmanager
def _connected(dbapi: Any, address: str) -> Iterator[Any]:
    """Connects to a database, and rolls back at the end what was not committed.

    Raises:
        OutputError: It cannot be reached. What the library says of an address that it cannot read may hold a part of
            the password, so it is not shown, not even as the cause.
    """
    try:
        connection = dbapi.connect(address)
    except dbapi.Error as error:
        reason, has_credentials = _reason(error), masked(address) != address
        if has_credentials and not reason.startswith("connection to server"):
            reason = (
                "its host is not known, or the address cannot be read (write %2F for / and %40 for @ in a password)"
            )
    else:
        try:
            yield connection
        finally:
            connection.close()
        return
    raise OutputError(
        f"{masked(address)} cannot be reached: {masked(reason)}",
        "Check host, port, database and user, and PGPASSWORD or ~/.pgpass.",
    )


@contextmanager
def _as_output_errors(dbapi: Any, place: str) -> Iterator[None]:
    """Turns errors of the database into an OutputError."""
    try:
        yield
    except dbapi.Error as error:
        if _CANCELLED in str(error):  # the driver has taken the interrupt
            raise InterruptedRunError from error
        hint = "Check the database and the rights of the user, and run again."
        if getattr(error, "sqlstate", None) == _DEPENDENT_OBJECTS:
            hint = "Drop what depends on the tables, or name another --schema; create it again after the export."
        raise OutputError(f"{place[0].upper()}{place[1:]} cannot be written: {_reason(error)}", hint) from error


def _reason(error: BaseException) -> str:
    """Returns the server's words in one line."""
    text = re.sub(r"\. SQLSTATE: \w+$", "", str(error).strip())
    words = text.partition("ERROR:")[2] or text.partition("Failed to connect:")[2] or text
    return " ".join(words.split())[:300]


def _library() -> Any:
    """Imports and returns ADBC's driver of PostgreSQL.

    Raises:
        UsageError: The driver is not installed.
    """
    try:
        import adbc_driver_postgresql.dbapi
    except ImportError as error:
        raise UsageError(
            "PostgreSQL needs the library adbc-driver-postgresql, which is not installed.",
            "Run: pip install 'postback-etl[databases]'",
        ) from error
    return adbc_driver_postgresql.dbapi
