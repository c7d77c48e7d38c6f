"""The hash of distinct texts within a batch: a secret of the process that no output shows and no sender can aim at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from etl.columnar import byte_loops
from etl.columnar.factorize import factorize_spans
from etl.steps.pipeline import transform
from tests import adversary
from tests.growth import growth
from tests.requests import assert_equal, requests_of

#: Two blocks of 16 bytes. Bit 63 of the first word is lost in a product of 64 bits, whatever the factor; what is left
#: of it, bits 63 and 31, the second word takes away.
_BLOCKS = (bytes(16), b"\0" * 7 + b"\x80" + (b"\0" * 3 + b"\x80") * 2)


@pytest.fixture
def seeds() -> Iterator[tuple[int, int]]:
    yield 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
    byte_loops.set_seed(0xD6E8FEB86659FD93)


def colliding(count: int) -> Callable[[], object]:
    """Texts of 14 of the blocks, each text another."""
    texts = b"".join(_BLOCKS[number >> place & 1] for number in range(count) for place in range(14))
    ends = np.arange(1, count + 1) * 224
    return lambda: factorize_spans(np.frombuffer(texts, np.uint8), ends - 224, ends)


def test_texts_that_are_made_to_collide_do_not() -> None:
    assert growth(colliding, 1_024, 4_096) is None


def test_the_seed_is_in_no_result(seeds: tuple[int, int], tmp_path: Path) -> None:
    for kind, data in (("combined", adversary.log_lines(3, 200)), ("jsonl", adversary.json_lines(3, 200))):
        (requests,) = requests_of(data, tmp_path, kind)
        tables = []
        for seed in seeds:
            byte_loops.set_seed(seed)
            tables.append(transform(requests))
        assert_equal(tables[0], tables[1:])
