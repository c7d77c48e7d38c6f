"""Access-log lines of the combined family, all regular ones of a batch at once.

A regular line is one that `access_lines` finds its way through. A line with anything unusual about it goes the slow
way, by `access_logs.read_line`. Both give the same rows; a property test holds them to it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from etl.byte_loops import Positions
from etl.schema import INSTANT
from etl.sources import access_lines
from etl.sources.access_logs import not_a_record, oversized, read_line
from etl.sources.format_rows import Reader
from etl.sources.lines import Batch
from etl.sources.prefixes import without_prefix
from etl.sources.requests import Record
from etl.spans import sound_texts


def read_batch(batch: Batch, read: Reader = read_line, word: bytes = b"") -> dict[str, pl.Series]:
    """The lines of a batch, regular ones the fast way.

    Args:
        batch: The lines.
        read: Reads an irregular line.
        word: A regular line without it is not read, but counted.

    Returns:
        The columns of `schema.REQUESTS` that a line of this family can fill, but lineage.
    """
    found = np.zeros((len(access_lines.FOUND), len(batch.starts)), np.int64)
    kinds = np.empty(len(batch.starts), np.uint8)
    access_lines.read_lines(batch.buffer.data, batch.starts, batch.ends, word, found, kinds)
    kinds[list(batch.oversized)] = access_lines.IRREGULAR
    is_wanted = kinds == access_lines.WANTED
    method, method_end, path_end, target_end, client_end, agent, agent_end, status, received_at = found

    def text(starts: Positions, ends: Positions) -> pl.Series:
        return sound_texts(batch.buffer, np.where(is_wanted, starts, 0), np.where(is_wanted, ends, 0))

    def sent(starts: Positions, ends: Positions) -> pl.Series:
        texts = text(starts, ends)
        return texts.set((texts == "-") | (texts == ""), None)

    slow = np.flatnonzero(kinds == access_lines.IRREGULAR)
    exact = [_read_slow(batch, i, read) for i in slow.tolist()]
    columns = {
        "received_at": pl.Series(received_at, dtype=pl.Int64).cast(INSTANT),
        "http_method": text(method, method_end),
        "http_status": pl.Series(status, dtype=pl.Int32),
        "client_ip": sent(batch.starts, client_end),
        "user_agent": sent(agent, agent_end),
        "path": text(method_end + 1, path_end),
        "query": text(np.minimum(path_end + 1, target_end), target_end).set(pl.Series(path_end == target_end), None),
        "fault": pl.Series(["not_a_postback"]).new_from_index(0, len(kinds)).set(pl.Series(is_wanted), None),
        "fault_message": pl.Series([None], dtype=pl.String).new_from_index(0, len(kinds)),
    }
    return {
        name: column.scatter(slow, pl.Series([getattr(record, name) for record in exact], dtype=column.dtype))
        for name, column in columns.items()
    }


def _read_slow(batch: Batch, i: int, read: Reader) -> Record:
    line = batch.buffer[batch.starts[i] : batch.ends[i]].tobytes()
    if i in batch.oversized:
        return oversized(batch.oversized[i])
    return not_a_record(line) or read(without_prefix(line))
