"""`forget_person` empties what is personal in all records of a person, in warehouses, folders of runs and exports.

A record is the person's if any of its texts names the person: a hash column, a raw record, a passthrough, an item. All
that is personal in its rows goes, in all tables. Ids, amounts, times and counts stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from etl.privacy.addresses import DROPPED
from etl.privacy.erasure import texts_of_record
from etl.privacy.persons import Person, name_person, widened
from etl.runner.run import value_sums
from etl.runner.stage_inputs import SILENT, Progress, run_id
from etl.schema import SUMMABLE
from etl.warehouse.erased_files import choose_records, erase_files, summarised
from etl.warehouse.table_files import TableFiles, files_of_table, open_tables
from etl.warehouse.table_layout import number_of, prefix_of

#: Columns with two hashes of one value.
_TWINS: Final = (("email_sha256", "email_google_sha256"), ("phone_sha256", "phone_e164_sha256"))

#: A path such as `a.log.1.gz` has so many extensions.
_MOST_EXTENSIONS: Final = 3


def forget_person(
    stores: Sequence[str],
    person: Person,
    *,
    is_applied: bool = False,
    progress: Progress = SILENT,
    keep: Callable[[dict[str, Any]], None] = lambda proof: None,
) -> dict[str, Any]:
    """Finds all records of a person, and empties what is personal in them.

    Args:
        stores: Warehouses, folders of runs and exports.
        person: The person.
        is_applied: Change the stores; by default they are only searched.
        progress: Receives the phase in which a store changes.
        keep: Called with the proof before the first store changes, and after each store.

    Returns:
        The proof: `run_id` and time, and for each store the number of `records` of the person, the rows that change by
        table, column and file, the `inputs` that the records came from, the rows and amounts that are `kept`, and in
        how many texts that stay the person is named (`left`). It shows no value of the person.

    Raises:
        UsageError: A store is none.
        EtlError: It failed; the stores that the proof names are changed, the others are unchanged.
    """
    stores = list(dict.fromkeys(stores))
    person = _with_other_hashes(stores, person)
    run = run_id()
    proof: dict[str, Any] = {
        "command": "forget-person",
        "run_id": run,
        "at": datetime.now(UTC),
        "is_applied": is_applied,
        "stores": [],
    }
    keep(proof)
    for address in stores:
        with open_tables(address, is_writing=is_applied, run=run) as store:
            proof["stores"].append(_forget_in(store, person, progress, is_applied=is_applied))
        keep(proof)
    return proof


def _forget_in(store: TableFiles, person: Person, progress: Progress, *, is_applied: bool) -> dict[str, Any]:
    """Finds the records of a person in one store, and empties them; returns the part of the proof."""
    ids = _records_of(store, person)
    opened = store if is_applied else store._replace(write=lambda file, rows: None)
    files = list(erase_files(opened, choose_records(ids), person)) if len(ids) else []
    names, kept = _forget_names(store.manifest, person), _kept(store)
    if is_applied and (files or names):
        _note_emptied(store, ids)
        progress.begin("publishing", 0)
        store.publish(command="forget-person", rows=str(sum(file.rows for file in files)))
    return {
        "store": store.address,
        "kind": store.kind,
        "records": len(ids),
        "tables": summarised(files),
        "names": names,
        "inputs": list(_inputs_of(store, ids, person)),
        "kept": kept,
        "left": {"source": int(_named_paths(store, person).sum())},
    }


def _with_other_hashes(stores: Sequence[str], person: Person) -> Person:
    """Adds the hashes that stand beside a hash of the person, in any of the stores, until there are no more."""
    with ExitStack() as stack:
        opened = [stack.enter_context(open_tables(address, is_writing=False)) for address in stores]
        known = None
        while person != known:
            known = person
            person = widened(person, (pairs for store in opened for pairs in _known_pairs(store, known)))
    return person


def _known_pairs(store: TableFiles, person: Person) -> Iterator[pl.DataFrame]:
    """Yields the pairs of hashes of one value, of which one is the person's."""
    digests = pl.Series(sorted(person.digests)).implode()
    files = [file for file in store.files if file.table in ("conversions", "withheld")]
    pairs = [file.rows.select(left=left, right=right) for file in files for left, right in _TWINS]
    if pairs:
        yield files[0].read(pl.concat(pairs).filter(pl.any_horizontal(pl.all().is_in(digests))).unique())


def _records_of(store: TableFiles, person: Person) -> pl.Series:
    """Returns the ids of the records that name a person."""
    found = [pl.Series("key", [], pl.String)]
    for file in store.files:
        texts = texts_of_record(file.read(), file.key)
        found.append(texts["key"].filter(name_person(person, texts["text"])))
    return pl.concat(found).unique().sort()


def _note_emptied(store: TableFiles, ids: pl.Series) -> None:
    """Notes the numbers of emptied records in `loads`: they stay empty if their input is loaded again."""
    numbers: dict[str, set[int]] = {}
    for one in ids:
        numbers.setdefault(prefix_of(one), set()).add(number_of(one))
    for file in files_of_table(store.warehouse, "loads") if store.warehouse else ():
        rows = file.read()
        emptied = [
            sorted({*(known or ()), *numbers.get(prefix_of(digest), ())}) or None
            for digest, known in rows.select("digest", "emptied").iter_rows()
        ]
        after = rows.with_columns(pl.Series("emptied", emptied, pl.List(pl.Int64)))
        if not after.equals(rows):
            store.write(file, after)


def _forget_names(manifest: dict[str, Any], person: Person) -> int:
    """Replaces the names of parameters in a manifest that name a person, and returns how many these are."""
    counts: dict[str, int] = manifest.get("unrecognised_parameters", {})
    is_named = name_person(person, pl.Series(list(counts), dtype=pl.String)).to_list()
    found: Counter[str] = Counter()
    for (name, count), hidden in zip(counts.items(), is_named, strict=True):
        found[DROPPED if hidden else name] += count
    if any(is_named):
        manifest["unrecognised_parameters"] = dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
    return sum(is_named)


def _inputs_of(store: TableFiles, ids: pl.Series, person: Person) -> Iterator[dict[str, Any]]:
    """Yields the inputs of records: the path, unless it names the person, the digest, and the number of records."""
    counts = Counter(prefix_of(one) for one in ids)
    is_named = _named_paths(store, person)
    known = {
        prefix_of(digest): (None if hidden else source, digest)
        for digest, source, hidden in zip(store.inputs["digest"], store.inputs["source"], is_named, strict=True)
    }
    for prefix, count in sorted(counts.items()):
        path, digest = known.get(prefix, (None, prefix))
        yield {"path": path, "digest": digest, "records": count}


def _named_paths(store: TableFiles, person: Person) -> pl.Series:
    """Returns for each input whether its path names a person; an extension is no part of an address."""
    paths = store.inputs["source"]
    is_named = name_person(person, paths)
    for _ in range(_MOST_EXTENSIONS):
        paths = paths.str.replace(r"\.\w*$", "")
        is_named |= name_person(person, paths)
    return is_named


def _kept(store: TableFiles) -> dict[str, Any]:
    """Counts the rows of the tables, and sums the values of conversions. A change of the store changes neither."""
    rows: dict[str, int] = {}
    sums: dict[tuple[str, str], Decimal] = {}
    for table in dict.fromkeys(file.table for file in store.files):
        files = [file for file in store.files if file.table == table]
        rows[table] = sum(files[0].read(pl.concat(file.rows.select(pl.len()) for file in files))["len"])
        if table == "conversions":
            value = pl.when(pl.col("value").abs() < SUMMABLE).then("value").sum()
            amounts = pl.concat(file.rows.select("event", "currency", "value") for file in files)
            found = files[0].read(amounts.group_by(pl.col("event", "currency").fill_null("")).agg(value))
            sums = {(event, currency): amount for event, currency, amount in found.iter_rows()}
    return {"rows": rows, "value_total": value_sums(sums)["value_total"]}
