"""The fast way of reading JSON records gives the same rows as the slow one, whatever the bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.sources.readers import json_batch
from etl.sources.record import Record
from tests import adversary
from tests.effort import draws
from tests.twins import IS_CLAIMED, batches, check_json

REGULAR = (
    b'{"received_at":"2024-05-14T00:00:00.172Z","method":"POST","path":"/a/collect/b?x=1","headers":{"User-Agent":"c",'
    b'"x":["y"]},"remote_ip":"192.0.2.7","body":{"click_id":"a","value":12.50,"n":-7,"is":true,"no":null,"\xc3\xa9":"\xe2\x82\xac'
    b'","items":[{"id":"1","price":1.0e1,"name":"5\\" \xc3\xbc"},{}],"o":{},"s":"a\\u00e9\\n\\"b"}}\n'
    b'{ "click_id" : "a" , "value" : 0.10 , "big" : 123456789012345678901234567890 }\n'
    b'{"received_at":1715644800.25,"body":"click_id=a&value=1","path":"/a/collect/b"}\n'
    b'{"url":"https://example.com/a/collect/b?click_id=q","body":null,"received_at":"2024-05-14 10:00"}\n{}\n'
)


def test_regular_records_are_read_the_fast_way() -> None:
    (batch,) = batches(REGULAR)

    def refuse(i: int) -> Record:
        raise AssertionError(batch.buffer[batch.starts[i] : batch.ends[i]].tobytes())

    json_batch.read_batch(batch, refuse, IS_CLAIMED)
    check_json(REGULAR)


def test_a_record_that_is_cut_short_leaves_the_others_as_they_are() -> None:
    record = b'{"click_id":["x",1],"b":{"c":"d"}}'
    for end in range(len(record)):
        check_json(b'{"click_id":1}\n' + record[:end] + b"\n")
        check_json(record[:end] + b'\n{"click_id":[1]}\n')


@pytest.mark.parametrize("seed", range(draws(3, 12)))
def test_odd_records_read_alike_either_way(seed: int) -> None:
    check_json(adversary.json_lines(seed, 300))


def damaged(seed: int, damages: int) -> bytes:
    chance = random.Random(seed)
    data = bytearray(REGULAR)
    odd = [b"", b"\\u", b"\\ud800", *(bytes([byte]) for byte in b'"\\{}[],:0-.e \t')]
    for _ in range(damages):
        place = chance.randrange(len(data))
        data[place : place + chance.randint(0, 2)] = chance.choice([*odd, b"\n", b"\xff", b"null", b"true", b"9" * 20])
    return bytes(data)


#: Of each example, eight inputs are lines of one: reading few lines costs as much as reading many.
EIGHT = {"min_size": 8, "max_size": 8}


@settings(max_examples=draws(15, 50), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32), st.integers(1, 5)), **EIGHT))
def test_damaged_records_read_alike_either_way(inputs: list[tuple[int, int]]) -> None:
    check_json(b"\n".join(damaged(*one) for one in inputs))


@settings(max_examples=draws(8, 25), deadline=None)
@given(st.lists(st.binary(max_size=200), **EIGHT))
def test_no_bytes_raise(inputs: list[bytes]) -> None:
    check_json(b"\n".join(b"{" + data for data in inputs))
