"""`forget`: an input taken out of a warehouse, and what only it had made duplicates brought back."""

from __future__ import annotations

from typing import Any

from etl.reading import run_id
from etl.warehouse import snapshots
from etl.warehouse.changes import Change, apply, judged
from etl.warehouse.entries import chosen


def forget(named: str, warehouse_address: str) -> dict[str, Any]:
    """Takes an input out of a warehouse, and brings back what only it had made duplicates.

    Args:
        named: One of its names, or the beginning of its digest.
        warehouse_address: The warehouse.

    Returns:
        `run_id`, and of the input `digest` and `names`; how many earlier duplicates were `promoted`.

    Raises:
        UsageError: No input has that name, or several have.
        EtlError: It failed; the warehouse is as it was.
    """
    if not snapshots.is_warehouse(warehouse_address):
        snapshots.viewed(warehouse_address)
    with snapshots.written(warehouse_address) as warehouse:
        row = chosen(warehouse, named)
        change = Change(run_id(), removed=frozenset({row["digest"]}))
        verdict = judged(warehouse, [], change.removed, warehouse.snapshot.dedup)
        apply(warehouse, change, verdict, warehouse.snapshot.dedup)
        moved = {"promoted": verdict.promoted.height, "demoted": verdict.demoted.height}
        return {"run_id": change.run, "digest": row["digest"], "names": row["names"], **moved}
