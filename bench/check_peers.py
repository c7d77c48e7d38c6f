"""Proves that a peer's four tables equal ours, row for row, on every column that peers write.

    python bench/check_peers.py [--lines N] [--only NAME ...]

Runs ours with `--pii keep` and each peer, hashes included, over the generated log and dump. Only issues, repaired
values and suggestions have no counterpart. A row is known by its record's number and, in items and passthroughs, its
position.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from contenders import DATA, PEERS, generate, input_path, ours, peer

SHOWN_ROWS: Final = 5
INSTANTS: Final = ("received_at", "occurred_at")

HASHED: Final = (
    *("email", "email_google", "phone", "phone_e164", "first_name"),
    *("last_name", "birthdate", "city", "state"),
)
COMPARED: Final = {
    "conversions": (
        *("record_no", "account_id", "integration", "received_at", "occurred_at", "occurred_at_rule"),
        *("match_type", "match_key", "match_param", "click_id", "ref_id", "event", "event_rule", "conversion_type"),
        *("value", "value_param", "currency", "currency_defaulted", "transaction_id", "brand_name"),
        *("email", "phone", "first_name", "last_name", "birthdate", "city", "state", "zipcode", "country"),
        *("name_rule", "item_count", "passthrough_count", "http_method", "http_status", "client_ip", "user_agent"),
        *(f"{trait}_sha256" for trait in (*HASHED, "zipcode", "country")),
    ),
    "items": ("record_no", "position", "item_id", "name", "variant", "price", "quantity"),
    "passthroughs": ("record_no", "position", "name", "value", "stored"),
    "rejections": (
        *("record_no", "reason", "reasons", "message", "duplicate_of", "duplicate_kind"),
        *("account_id", "integration", "received_at", "raw", "http_method", "http_status"),
    ),
}


class DifferenceError(AssertionError):
    """A peer's table is not ours; the message shows the first rows that differ."""


def compare(ours: Path, theirs: Path) -> dict[str, int]:
    """Raises where a table of a peer differs from ours.

    Args:
        ours: The folder of a run with `--pii keep`.
        theirs: The folder of a peer.

    Returns:
        Table -> rows, all of them compared.

    Raises:
        DifferenceError: With the first differing rows.
    """
    expected = read_ours(ours)
    for table, columns in COMPARED.items():
        _compare_table(table, expected[table], read_theirs(theirs, table, columns))
    return {table: rows.height for table, rows in expected.items()}


def read_ours(folder: Path) -> dict[str, pl.DataFrame]:
    """Our tables in the peers' columns: ids become the numbers of the records they stand for."""
    frames = {table: pl.read_parquet(folder / table / "*.parquet") for table in COMPARED}
    numbers = frames["conversions"].select("conversion_id", "record_no")
    for table in ("items", "passthroughs"):
        frames[table] = frames[table].join(numbers, on="conversion_id", how="left")
    winners = numbers.rename({"conversion_id": "duplicate_of", "record_no": "kept_no"})
    rejections = frames["rejections"].join(winners, on="duplicate_of", how="left")
    frames["rejections"] = rejections.drop("duplicate_of").rename({"kept_no": "duplicate_of"})
    return {table: _ordered(frames[table].select(columns)) for table, columns in COMPARED.items()}


def read_theirs(folder: Path, table: str, columns: tuple[str, ...]) -> pl.DataFrame:
    """A peer's table; instants whose zone the engine does not write are UTC."""
    rows = pl.read_parquet(folder / f"{table}.parquet")
    if rows.columns != list(columns):
        raise DifferenceError(f"{table}: the columns are {rows.columns}, not {list(columns)}")
    zoned = [pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC") for name in INSTANTS if name in columns]
    return _ordered(rows.with_columns(zoned))


def _ordered(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort([name for name in ("record_no", "position") if name in rows.columns])


def _compare_table(table: str, ours: pl.DataFrame, theirs: pl.DataFrame) -> None:
    if ours.height != theirs.height:
        only = [a.join(b, on=_keys(a), how="anti").head(SHOWN_ROWS) for a, b in ((ours, theirs), (theirs, ours))]
        counts = f"{ours.height} rows of ours, {theirs.height} of theirs"
        raise DifferenceError(f"{table}: {counts}; only ours: {_shown(only[0])} only theirs: {_shown(only[1])}")
    for name, dtype in ours.schema.items():
        if theirs.schema[name] != dtype:
            raise DifferenceError(f"{table}.{name}: {theirs.schema[name]} instead of {dtype}")
        differs = ours[name].ne_missing(theirs[name])
        if differs.any():
            rows = ours.select(_keys(ours)).with_columns(ours=ours[name], theirs=theirs[name]).filter(differs)
            raise DifferenceError(
                f"{table}.{name}: {rows.height} rows differ, the first: {_shown(rows.head(SHOWN_ROWS))}"
            )


def _keys(rows: pl.DataFrame) -> list[str]:
    return [name for name in ("record_no", "position") if name in rows.columns]


def _shown(rows: pl.DataFrame) -> str:
    return "\n".join(["", *map(str, rows.to_dicts())])


def main() -> None:
    """Runs and compares; ends with status 1 at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--only", nargs="*", choices=PEERS, default=list(PEERS))
    arguments = parser.parse_args()
    for source in (generate(input_path(arguments.lines, form)) for form in ("log", "jsonl")):
        subprocess.run([*ours(source, DATA / "check-ours"), "--pii", "keep"], check=True)
        for name in arguments.only:
            subprocess.run(peer(f"{name}+hashes", source, DATA / f"check-{name}"), check=True)
            try:
                rows = compare(DATA / "check-ours", DATA / f"check-{name}")
            except DifferenceError as difference:
                raise SystemExit(f"{name} differs from ours on {source.name}: {difference}") from None
            print(f"{name} equals ours on {source.name}: {rows}")


if __name__ == "__main__":
    main()
