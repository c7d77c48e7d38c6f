"""No personal text reaches any byte that any command writes, wherever in a record it stands (rules 9.1).

`sentinels` makes the records of the registry and of the carriers. Every output is searched: files as they are and
decoded, what a killed command left, standard output and standard error.
"""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import polars as pl
import pytest

import etl
from etl.schema import TABLES
from tests.commands import Finished, run
from tests.effort import IS_THOROUGH, draws, thorough
from tests.sentinels import PERSON, Corpus, left_in

#: A ruleset under which the refused records pass.
HOUSE = 'name = "house"\n[events]\nnope = "Purchase"\n'

KILLED = """
import os, signal, sys
from importlib import import_module
from etl.cli import main
where = sys.argv.pop(1).rsplit(".", 1)
setattr(import_module(where[0]), where[1], lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL))
main()
"""
READING = ("--account", "acme", "--integration", "shop", "--min-matched", "0%", "--jobs", "1")
TOLERANT = (*READING, "--max-unread", "100%")

#: Inputs of commands that show the same records in another way; `make test` runs only `run` over payloads in tables.
SOME = ("carriers_2.in", "json.in", *(("csv_payloads.in",) if IS_THOROUGH else ()))


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """What the files of a folder hold: their names, their bytes, and the rows of tables."""
    for path in sorted(folder.rglob("*")):
        yield "a name", path.name.encode()
        if path.is_file():
            data = path.read_bytes()
            yield path.name, data
            yield path.name, b"\n".join(texts_of(data))


def texts_of(data: bytes) -> Iterator[bytes]:
    """The distinct values of a table in Parquet or in an Arrow stream."""
    if data[:4] == b"PAR1":
        rows = pl.read_parquet(io.BytesIO(data), hive_partitioning=False)
    elif data[:4] == b"\xff\xff\xff\xff":
        rows = pl.read_ipc_stream(data)
    else:
        return
    for column in rows.drop("source", strict=False):
        yield str((column if column.dtype.is_nested() else column.unique()).to_list()).encode("utf-8", "replace")


def check(corpus: Corpus, *outputs: Finished | Path | Iterable[tuple[str, bytes]]) -> None:
    """Holds that no output holds a personal text."""
    left: set[str] = set()
    for output in outputs:
        if isinstance(output, subprocess.CompletedProcess):
            name = str(output.args[0] if output.args else "")
            texts: Iterable[tuple[str, bytes]] = [(f"{name}: out", output.stdout), (f"{name}: err", output.stderr)]
        else:
            texts = written(output) if isinstance(output, Path) else output
        left.update(f"{where}: {told}" for where, text in texts for told in corpus.told(left_in(text)))
    assert not left, "\n".join(sorted(left)[:40])


@cache
def made(effort: int, share: int) -> tuple[Corpus, list[tuple[str, bytes]]]:
    """Records with personal texts, and few inputs of them; to make them costs as much as to run over them."""
    corpus = Corpus(effort)
    return corpus, list(corpus.groups(share))


def inputs_of(corpus: Corpus, files: Iterable[tuple[str, bytes]], folder: Path, *names: str) -> list[Path]:
    """Writes inputs, or those of these names, and returns their paths."""
    folder.mkdir()
    for name, data in files:
        if not names or name in names:
            (folder / name).write_bytes(data)
    assert len(corpus.made) > 1000
    return sorted(folder.iterdir())


def test_a_sentinel_is_found_however_it_is_encoded() -> None:
    person = {trait: text.format(7) for trait, text in PERSON.items()}
    for text in person.values():
        for form in (text, text.upper(), json.dumps([text]), "".join(f"%{byte:x}" for byte in text.encode())):
            assert left_in(form.encode()), form
    assert left_in(b'{"data":"eyJlbWFpbCI6Ind4djAwMDA3LnpxQGV4YW1wbGUuY29tIn0="}') == {b"wxv00007"}
    assert left_in(b"sha256:8133684328e2ab13e461b4d4e22595a79191896eb2f55d758c8bb9d14cd81990") == set()


@pytest.mark.parametrize("pii", ["hash", pytest.param("drop", marks=thorough)])
def test_a_run_writes_nothing_personal(pii: str, tmp_path: Path) -> None:
    corpus, files = made(draws(1, 2), draws(60, 5))
    inputs = inputs_of(corpus, files, tmp_path / "in", *(SOME if pii == "drop" else ()))
    out = tmp_path / "out"
    told = ("--metrics", out / "m.prom", "--openlineage", out / "lineage.jsonl", "--summary", out / "summary.json")
    out.mkdir()
    finished = run("run", *inputs, "--out", out / "t", *TOLERANT, "--pii", pii, *told, "--events", "json")
    assert {path.name for path in out.iterdir()} == {"t", "m.prom", "lineage.jsonl", "summary.json"}
    heights = {table.name: pl.read_parquet(out / "t" / table.name).height for table in TABLES}
    assert min(heights.values()) > 0
    check(corpus, finished, out)


@thorough
@pytest.mark.parametrize("pii", ["hash", "drop"])
def test_a_run_over_each_format_and_carrier_alone_writes_nothing_personal(pii: str, tmp_path: Path) -> None:
    corpus = Corpus(2)
    inputs = inputs_of(corpus, corpus.files(), tmp_path / "in")
    check(corpus, run("run", *inputs, "--out", tmp_path / "out", *TOLERANT, "--pii", pii), tmp_path / "out")


@pytest.mark.parametrize("pii", ["hash", pytest.param("drop", marks=thorough)])
def test_commands_show_nothing_personal(pii: str, tmp_path: Path) -> None:
    corpus, files = made(1, draws(60, 20))
    inputs = inputs_of(corpus, files, tmp_path / "in", *SOME)
    house = tmp_path / "house.toml"
    house.write_text(HOUSE, encoding="utf-8")
    out, tables = tmp_path / "out", tmp_path / "out" / "tables"
    options = (*READING, "--pii", pii)
    outputs = [run("run", *inputs, "--out", tables, *options, "--max-unread", "100%")]
    outputs.append(run("audit", tables, "--html", out / "audit.html", "--json"))
    outputs += [run("audit", tables) for _ in range(draws(0, 1))]
    outputs += [run("inspect", *inputs, "--json", "--full", code=None), run("inspect", inputs[0], code=None)]
    for form in [("--json",) * turn for turn in range(draws(1, 2))]:
        outputs.append(run("what-if", *inputs, "--ruleset", house, *options, "--changes", out / "changes", *form))
    row = pl.read_parquet(tables / "rejections")["rejection_id"][0]
    outputs.append(run("explain", f"{tables}:{row}", "--pii", pii))
    outputs += reconciled(tables, out, tmp_path)
    outputs += explained(inputs, pii)
    outputs += refused(inputs, tmp_path, pii)
    check(corpus, *outputs, out)


@pytest.mark.parametrize("pii", ["hash", pytest.param("drop", marks=thorough)])
def test_a_warehouse_holds_nothing_personal(pii: str, tmp_path: Path) -> None:
    corpus, files = made(1, draws(60, 20))
    inputs = inputs_of(corpus, files, tmp_path / "in", *SOME)
    house = tmp_path / "house.toml"
    house.write_text(HOUSE, encoding="utf-8")
    warehouse, options = tmp_path / "warehouse", (*TOLERANT, "--pii", pii)
    (tmp_path / "2024-05-01").mkdir()
    first, *others = inputs
    first.rename(tmp_path / "2024-05-01" / "a.in")
    days = ("--from", "2024-05-01", "--to", "2024-05-01", "--into", warehouse)
    outputs = [run("backfill", f"{tmp_path}/{{date:%Y-%m-%d}}/a.in", *days, *options)]
    outputs += [
        run("load", *others, "--into", warehouse, *options, *form) for form in (["--dry-run"], ["--summary", "-"])
    ]
    check(corpus, warehouse)
    outputs += [
        run("replay", "--into", warehouse, "--ruleset", house, *form) for form in (["--dry-run"], ["--summary", "-"])
    ]
    outputs += [run("loads", "list", "--into", warehouse, *form) for form in ((), ("--json",))]
    outputs += [run("loads", "verify", "--into", warehouse), run("compact", "--into", warehouse)]
    outputs += [run("export", warehouse, tmp_path / "export", code=None)]
    (digest,) = etl.scan(str(warehouse), "loads").select("digest").head(1).collect().to_series()
    outputs += [run("loads", "show", digest, "--into", warehouse)]
    forget = ("loads", "forget", digest, "--into", warehouse)
    outputs += [run(*forget, "--debug"), run("vacuum", "--into", warehouse), run(*forget, "--debug", code=None)]
    check(corpus, *outputs, warehouse, tmp_path / "export")


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("etl.runner.publish.sync", ("run", "--out")),
        pytest.param("etl.engines.local_pool.settle_here", ("run", "--out"), marks=thorough),
        pytest.param("etl.warehouse.file_storage.publish", ("load", "--into"), marks=thorough),
        pytest.param("etl.warehouse.delta.commit", ("load", "--into"), marks=thorough),
    ],
)
def test_a_killed_command_leaves_nothing_personal(where: str, words: tuple[str, str], tmp_path: Path) -> None:
    corpus, files = made(1, draws(60, 20))
    inputs = inputs_of(corpus, files, tmp_path / "in", *SOME[: draws(1, 3)])
    (tmp_path / "left").mkdir()
    command = [
        sys.executable,
        "-c",
        KILLED,
        where,
        words[0],
        *inputs,
        words[1],
        tmp_path / "left" / "tables",
        *TOLERANT,
    ]
    killed = subprocess.run([*map(str, command)], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert any(path.is_file() for path in (tmp_path / "left").rglob("*"))
    check(corpus, killed, tmp_path / "left")


def reconciled(tables: Path, out: Path, folder: Path) -> list[Finished]:
    """The tables against an export of a network that holds addresses, as JSON and as text."""
    export = folder / "export.csv"
    rows = "".join(f"2024-05-01 12:00:0{i},{PERSON['email'].format(i)},{i},EUR\n" for i in range(9))
    export.write_text(f"time,transaction_id,value,currency\n{rows}", encoding="utf-8")
    words = ("reconcile", tables, "--against", export)
    return [run(*words, "--unmatched", out / "unmatched.parquet"), run(*words, "--json")]


def explained(inputs: list[Path], pii: str) -> list[Finished]:
    """Some records of each input, explained as text and as JSON."""
    outputs = []
    for path in inputs:
        for number in range(2, draws(3, 9)):
            form = ("--json",) if number % 2 else ()
            outputs.append(run("explain", f"{path}:{number}", "--account", "a", "--pii", pii, *form, code=None))
    return outputs


def refused(inputs: list[Path], folder: Path, pii: str) -> list[Finished]:
    """Messages of commands that refuse inputs, and warn of them."""
    unknown = folder / "unknown.in"
    unknown.write_text(f"some text of {PERSON['email'].format(0)}\n" * 3, encoding="utf-8")
    words = ("--out", folder / "refused", "--pii", pii, "--jobs", "1")
    outputs = [run("run", unknown, *words, code=2), run("explain", PERSON["email"].format(0), code=None)]
    for path in inputs[:: draws(5, 1)]:
        outputs.append(run("run", path, *words, "--max-rejected", "0", "--debug", code=None))
        outputs.append(run("run", path, *words, "--min-matched", "100%", code=None))
    return outputs
