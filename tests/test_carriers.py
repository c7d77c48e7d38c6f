"""Carriers: each opens its samples, and carries any format, also within another carrier."""

from __future__ import annotations

import ast
import json
import random
from base64 import b64encode
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

import etl
from etl.columnar import json_codec
from etl.sources.carriers.carrier import Carrier
from etl.sources.carriers.known_carriers import BY_NAME, CARRIERS, levels_of
from etl.sources.carriers.opening import Opener
from etl.sources.detection import Detected, detect
from etl.sources.format import DOCUMENTS, Format, Settings
from etl.sources.planning import ReadOptions, find_format, plan_splits
from etl.sources.records.lines import Batch
from etl.sources.splits import Split, read_split
from etl.sources.storage import surveys
from etl.sources.storage.inputs import Input
from etl.sources.storage.surveys import survey
from tests.carried import CARRIED, LINE, TEXTS, assert_alike, requests_of, wrap
from tests.effort import IS_THOROUGH, draws

SOURCES: Final = Path(etl.__file__).parent / "sources"
OPENED: Final = [row for row in CARRIERS if row.samples]
SAMPLES: Final = [
    pytest.param(row, *sample, id=f"{row.name} {i}") for row in CARRIERS for i, sample in enumerate(row.samples)
]


@pytest.mark.parametrize(("row", "record", "carried"), SAMPLES)
def test_a_carrier_opens_its_samples(row: Carrier, record: bytes, carried: tuple[bytes, ...]) -> None:
    held = Opener(levels_of([row.name])).carried(record)
    assert tuple(found.text for found in held) == carried
    assert all(found.is_carried for found in held)


@pytest.mark.parametrize(("row", "record", "carried"), SAMPLES)
def test_an_input_of_a_carrier_is_found_to_be_carried_by_it(
    row: Carrier, record: bytes, carried: tuple[bytes, ...]
) -> None:
    found = detect((record + b"\n",), "sample", Settings())
    assert found.carriers == (row.name,), carried


@pytest.mark.parametrize("row", CARRIED, ids=lambda row: row.name)
def test_a_carried_record_is_what_it_is_alone(row: Format, tmp_path: Path) -> None:
    """In each carrier; `make test` takes a third of the carriers for each format, other ones for the next."""
    samples = [param.values[1] for param in TEXTS if param.values[0] is row]
    opened = OPENED if IS_THOROUGH else OPENED[CARRIED.index(row) % 3 :: 3]
    held_alike([(sample, (carrier,)) for sample in samples for carrier in opened], tmp_path)


def test_a_record_in_two_carriers_is_what_it_is_alone(tmp_path: Path) -> None:
    chance = random.Random(18)
    samples: list[Any] = [param.values[1] for param in TEXTS]
    pairs = [(chance.choice(samples), (chance.choice(OPENED), chance.choice(OPENED))) for _ in range(draws(20, 150))]
    held_alike(pairs, tmp_path)


def held_alike(held: list[tuple[bytes, tuple[Carrier, ...]]], folder: Path) -> None:
    """Holds that samples in carriers, the innermost first, are read as the samples alone are read.

    What each is must be found of it alone. What was found to be of one kind is read as one input.
    """
    inputs: dict[object, list[tuple[bytes, bytes, Detected]]] = defaultdict(list)
    for sample, carriers in held:
        record = sample
        for carrier in carriers:
            record = record and wrap(carrier, record)
        if record:
            found = detect((record + b"\n",), "input", Settings())
            assert found.carriers or not all(carrier.is_clear for carrier in carriers), record
            rows = [BY_NAME[name] for name in found.carriers]
            is_shared = found.framing != DOCUMENTS and all(row.is_clear for row in rows)
            prefixed = tuple(bool(row.prefix) for row in rows)
            kind = (found.row.name, found.framing, found.columns, prefixed if is_shared else found.carriers)
            if found.framing == DOCUMENTS:
                kind = (*kind, record)
            inputs[kind].append((sample, record, found))
    for parts in inputs.values():
        names = ("|".join(dict.fromkeys(level)) for level in zip(*(found.carriers for *_, found in parts), strict=True))
        found = parts[0][2]._replace(carriers=tuple(names))
        _, requests = requests_of(b"".join(record + b"\n" for _, record, _ in parts), folder, found)
        for (sample, record, alone), carried in zip(parts, requests.to_dicts(), strict=True):
            assert_alike(carried, sample, alone, record)


DOCKER: Final = '{{"log":{},"stream":"{}","time":"2024-05-01T12:00:0{}Z"}}\n'
CRI: Final = "2024-05-01T12:00:0{}Z {} {} {}\n"


def test_pieces_are_joined_at_the_place_of_the_first_and_counted_once(tmp_path: Path) -> None:
    first, second = LINE.format(1), LINE.format(2)
    docker = (
        DOCKER.format(json.dumps(first[:40]), "stdout", 1)
        + DOCKER.format(json.dumps(second + "\n"), "stderr", 2)
        + DOCKER.format(json.dumps(first[40:70]), "stdout", 3)
        + DOCKER.format(json.dumps(first[70:] + "\n"), "stdout", 3)
        + DOCKER.format(json.dumps(second + "\n"), "stdout", 4)
    )
    cri = (
        CRI.format(1, "stdout", "P", first[:40])
        + CRI.format(2, "stderr", "F", second)
        + CRI.format(3, "stdout", "P", first[40:70])
        + CRI.format(3, "stdout", "F", first[70:])
        + CRI.format(4, "stdout", "F", second)
    )
    for name, text in (("docker", docker), ("cri", cri)):
        found, rows = requests_of(text.encode(), tmp_path)
        assert (found.carriers, found.row.name) == ((name,), "common")
        assert rows["query"].to_list() == ["click_id=a1", "click_id=a2", "click_id=a2"]
        assert rows["record_no"].to_list() == [1, 2, 3]
        lines = text.splitlines(keepends=True)
        assert rows["byte_offset"].to_list() == [0, len(lines[0]), len("".join(lines[:4]))]
        assert all(
            Opener(levels_of([name])).carried(raw.encode())[0].text.decode().startswith("192.") for raw in rows["raw"]
        )


def test_a_record_without_its_last_piece_ends_with_the_input(tmp_path: Path) -> None:
    whole = CRI.format(1, "stdout", "F", LINE.format(1))
    _, rows = requests_of((whole * 3 + CRI.format(2, "stdout", "P", LINE.format(2)[:60])).encode(), tmp_path)
    assert rows["fault"].to_list() == [None, None, None, "malformed_record"]


def test_a_carrier_without_text_is_malformed(tmp_path: Path) -> None:
    entry = '{{"__REALTIME_TIMESTAMP":"1714564801123456","MESSAGE":{}}}\n'
    _, rows = requests_of((entry.format(json.dumps(LINE.format(1))) * 2 + entry.format("null")).encode(), tmp_path)
    assert rows["fault"].to_list() == [None, None, "malformed_record"]
    assert rows["fault_message"][2] == "Its carrier holds no text"


def test_a_carried_line_of_an_application_is_no_request_and_a_torn_record_is_malformed(tmp_path: Path) -> None:
    carried = (LINE.format(1), LINE.format(2), "Listening on port 80", LINE.format(3)[:70])
    _, rows = requests_of("".join(CRI.format(1, "stdout", "F", text) for text in carried).encode(), tmp_path)
    assert rows["fault"].to_list() == [None, None, "not_a_request", "malformed_record"]


def test_the_time_of_a_payload_is_its_carriers(tmp_path: Path) -> None:
    _, rows = requests_of((CRI.format(1, "stdout", "F", '{"click_id": "a"}')).encode(), tmp_path)
    assert str(rows["received_at"][0]) == "2024-05-01 12:00:01+00:00"


def test_what_the_user_names_is_tried_on_the_whole_record_first(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    whole = '2024-05-01T12:00:01+00:00 192.0.2.1 collect: "GET /a/collect/b?click_id=1 HTTP/1.1" 200\n'
    path.write_text(whole, encoding="utf-8")
    log_format = '$time_iso8601 $remote_addr collect: "$request" $status'
    summary = etl.run([path], tmp_path / "whole", log_format=log_format)
    assert (summary["conversions"], summary["inputs"][0]["carrier"]) == (1, None)
    path.write_text("web-1  | " + whole, encoding="utf-8")
    summary = etl.run([path], tmp_path / "carried", log_format=log_format)
    assert (summary["conversions"], summary["inputs"][0]["carrier"]) == (1, "docker_compose")


def test_carriers_know_no_formats_and_formats_no_carriers() -> None:
    def imported(folder: str) -> set[str]:
        return {
            node.module or ""
            for path in (SOURCES / folder).glob("*.py")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
        }

    assert not {name for name in imported("carriers") if name.startswith("etl.sources.format")}
    for folder in ("formats", "readers"):
        assert not {name for name in imported(folder) if name.startswith("etl.sources.carriers")}
    assert len(BY_NAME) == len(CARRIERS)


def test_prefixes_of_a_batch_are_read_as_one_by_one() -> None:
    chance = random.Random(7)
    rows = [row for row in CARRIERS if row.prefix]
    for _ in range(100):
        levels = tuple(tuple(chance.sample(rows, 2)) for _ in range(chance.randint(1, 3)))
        lines = [chance.choice(chance.choice(rows).samples)[0] for _ in range(20)]
        lines = [chance.choice(chance.choice(rows).samples)[0][: chance.randint(0, 60)] + line for line in lines]
        ends = np.cumsum([len(line) for line in lines])
        starts = np.append(0, ends)[:-1]
        batch = Batch(np.frombuffer(b"".join(lines), np.uint8), starts, ends, starts, {})
        opened = Opener(levels).open(batch)
        alone = [held for line in lines for held in Opener(levels).carried(line)]
        assert opened.records.texts() == [held.text for held in alone]
        assert opened.raws.texts() == lines == [held.raw for held in alone]
        assert (opened.times, opened.is_carried) == ([held.time for held in alone], [held.is_carried for held in alone])


def test_an_input_with_pieces_gives_the_same_rows_from_any_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "BLOCK_BYTES", 50)
    chance = random.Random(3)
    for name in ("docker", "cri") * draws(2, 8):
        data = "".join(written_in_pieces(name, chance, number) for number in range(chance.randint(1, 40))).encode()
        path = tmp_path / "input"
        path.write_bytes(data)
        limit = chance.choice((300, 1 << 20))
        whole = rows_of_splits(path, 1 << 24, limit)
        for _ in range(4):
            split_bytes = chance.randint(1, 600)
            parts = rows_of_splits(path, split_bytes, limit)
            assert parts.equals(whole), (name, split_bytes, data)
    path.write_text(CRI.format(1, "stdout", "F", LINE.format(1)) * 30, encoding="utf-8")
    assert len(splits_of(path, 500, 1 << 20)) > 5


def written_in_pieces(name: str, chance: random.Random, number: int) -> str:
    """Lines of a record that a carrier cuts at random places, with whole records of another stream between them."""
    text = chance.choice((LINE.format(number), "Listening", LINE.format(number) + "x" * chance.randint(0, 300), ""))
    cuts = sorted(chance.randint(0, len(text)) for _ in range(chance.choice((0, 0, 0, 1, 3))))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    is_left_open = chance.random() < 0.05
    lines = []
    for i, piece in enumerate(pieces):
        is_last = i == len(pieces) - 1 and not is_left_open
        if name == "docker":
            lines.append(DOCKER.format(json.dumps(piece + "\n" * is_last), "stdout", 1))
        else:
            lines.append(CRI.format(1, "stdout", "F" if is_last else "P", piece))
        if chance.random() < 0.2:
            other = LINE.format(f"-{number}-{i}")
            lines.append(
                DOCKER.format(json.dumps(other + "\n"), "stderr", 1)
                if name == "docker"
                else CRI.format(1, "stderr", "F", other)
            )
    return "".join(lines)


def splits_of(path: Path, split_bytes: int, limit: int) -> list[Split]:
    """The splits of an input."""
    surveyed = survey(path, "input", split_bytes)
    reading = ReadOptions(max_record_bytes=limit)
    item = Input("input", path)
    return list(plan_splits(item, surveyed, find_format(item, surveyed.codec, surveyed.samples, reading), reading))


def rows_of_splits(path: Path, split_bytes: int, limit: int) -> pl.DataFrame:
    """The requests of all splits of an input."""
    frames = [frame for split in splits_of(path, split_bytes, limit) for frame, _ in read_split(split)]
    return pl.concat(frames).drop("query_fields")


def test_the_raw_of_a_carried_record_is_the_outermost_record_and_shows_what_is_encoded() -> None:
    payload = b'{"click_id": "a", "email": "jo@example.com"}'
    for row in CARRIERS:
        for number in range(len(row.samples)):
            record = wrap(row, payload, number)
            if not record or not row.is_clear:
                continue
            [held] = Opener(levels_of([row.name])).carried(record)
            assert held.text == payload or json_codec.is_json(held.text), (row.name, held)
            assert b"jo@example.com" in held.raw, row.name
            assert held.raw == record or b64encode(payload) in record or b'"MESSAGE":[' in record, row.name
            assert Opener(levels_of([row.name])).carried(held.raw)[0].text in (held.text, held.raw), row.name
