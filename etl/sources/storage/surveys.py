"""Surveys an input in one pass over its decompressed bytes: digest, sizes, split points and samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, NamedTuple

import numpy as np

from etl.errors import InputError, OutputError
from etl.sources.storage.checksums import BlockSums, SurveyedBytes
from etl.sources.storage.decompress import is_tar, open_decompressed, sniff, unreadable
from etl.sources.storage.line_ends import ReturnCounter, has_return_ends, plain_sample
from etl.sources.storage.locations import Identity, Location, identity_of, is_seekable, size_of
from etl.sources.storage.unnamed_files import CopiesElsewhere, UnnamedFiles, path_of

BLOCK_BYTES: Final = 4 * 2**20
SAMPLE_BYTES: Final = 64 * 2**10
LATER_SAMPLE_BYTES: Final = 16 * 2**10

#: `survey_beginning` samples an uncompressed input at about this many places.
_SAMPLED_PLACES: Final = 8

#: Smaller inputs are not copied: they are decompressed again faster.
_COPIED_BYTES: Final = 2 * 2**20

#: Codecs that are fast enough for several splits, although each split of a compressed file decompresses from the start.
_FAST_CODECS: Final = ("plain", "gzip", "zstd")


class Survey(NamedTuple):
    """The result of one pass over an input.

    Attributes:
        codec: `plain`, `gzip`, `zstd`, `bzip2` or `xz`; `utf-16-le` or `utf-16-be`; or two of them, such as
            `gzip utf-16-le`.
        digest: SHA-256 of the decompressed bytes, hex.
        stored_bytes: Size as stored.
        plain_bytes: Size decompressed.
        starts: Offsets at which the splits of the decompressed bytes begin. The first is 0.
        first_lines: For each split, the 1-based number of the first line that begins in the split.
        samples: The first decompressed bytes, then blocks from later places, with plain line ends.
        ladder: Prefix digests, concatenated: for each size in `PREFIX_SIZES` up to the input's size, the first eight
            bytes of the SHA-256 of that many first bytes. They show whether an input is the beginning of another.
        has_return_ends: Whether carriage returns alone end the lines.
        lines: Number of lines.
        checked: The checksums of the decompressed bytes; None if they were not read whole.
        copy: The decompressed bytes in a file of this machine, if they were copied.
        is_copied: Whether they were copied, or those who read the input copy them: it is cut as its copy is.
    """

    codec: str
    digest: str
    stored_bytes: int
    plain_bytes: int
    starts: tuple[int, ...]
    first_lines: tuple[int, ...]
    samples: tuple[bytes, ...]
    ladder: bytes
    has_return_ends: bool = False
    lines: int = 0
    checked: SurveyedBytes | None = None
    copy: Path | None = None
    is_copied: bool = False


def survey(
    location: Location,
    label: str,
    split_bytes: int,
    copies: UnnamedFiles | CopiesElsewhere | None = None,
    advance: Callable[[int], None] = lambda size: None,
) -> Survey:
    """Reads an input once, in bounded memory, and returns its digest, sizes, split points and samples.

    Args:
        location: The input's location.
        label: The input's name in messages.
        split_bytes: Size of the splits. Inputs with slow codecs and members of zip archives get a single split, unless
            they are copied.
        copies: Keeps the decompressed bytes, so that the input is decompressed once.
        advance: Called with the stored bytes that were read since the last call.

    Raises:
        InputError: The input cannot be read to its end.
        OutputError: The copy cannot be written.
    """
    codec = _codec(location, label)
    identity = _identity(location, label)
    stored = size_of(location)
    is_copied = copies is not None and is_packed(codec, location) and stored >= _COPIED_BYTES
    copy = copies.make() if copies and is_copied else None
    can_split = is_copied or (codec in _FAST_CODECS and is_seekable(location))
    digest, size, lines = hashlib.sha256(), 0, 0
    head, later = b"", list[bytes]()
    starts, first_lines = [0], [1]
    is_line_open = has_returns = False
    returns = ReturnCounter()
    ladder, sums = b"", BlockSums()
    reached = 0
    with open_decompressed(location, codec, label) as (stream, position):
        while block := stream.read(BLOCK_BYTES):
            _write(copy, block, label)
            advance(position() - reached)
            reached = position()
            sums.feed(block)
            ladder += _prefix_digests(digest, block, size, len(ladder) // PREFIX_DIGEST_BYTES)
            has_returns = has_return_ends(block[:SAMPLE_BYTES]) if size == 0 else has_returns
            if has_returns:
                block = block.replace(b"\r", b"\n")
            if size >= BLOCK_BYTES << len(later):
                later.append(block[:LATER_SAMPLE_BYTES])
            head += (block if head else block.lstrip(b"\0"))[: SAMPLE_BYTES - len(head)]
            returns.feed(block)
            boundary = starts[-1] + split_bytes
            if can_split and size + len(block) > boundary:
                before = block[: boundary - size]
                starts.append(boundary)
                is_cut = not before.endswith(b"\n") if before else is_line_open
                first_lines.append(1 + lines + _newlines(before) + is_cut)
            lines += _newlines(block)
            size += len(block)
            is_line_open = not block.endswith(b"\n")
    returns.finish()
    numbers = tuple(number + returns.before(start) for number, start in zip(first_lines, starts, strict=True))
    samples = tuple(map(plain_sample, (head, *later)))
    lines += is_line_open + len(returns.places)
    _write(copy, b"", label)
    copied = path_of(copy) if copy else None
    checked = SurveyedBytes(identity_of(copied) if copied else identity, size, 0, sums.finish())
    whole = codec, digest.hexdigest(), stored, size, tuple(starts), numbers, samples, ladder
    return Survey(*whole, has_returns, lines, checked, copied, is_copied)


def is_packed(codec: str, location: Location) -> bool:
    """Whether reading from the middle of an input takes reading it from its beginning."""
    return codec != "plain" or not is_seekable(location)


def _write(copy: IO[bytes] | None, block: bytes, label: str) -> None:
    """Writes a block to the copy of an input, if there is one; an empty block ends the copy."""
    try:
        if copy:
            copy.write(block)
            copy.flush()
    except OSError as error:
        raise OutputError(
            f"The decompressed bytes of {label} cannot be kept: {error}", "Free some disk space, or name another --out."
        ) from error


def _newlines(block: bytes) -> int:
    """Counts the newlines in a block."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))


#: Prefix sizes at which digests are taken: four per doubling. If two inputs agree at the last size within the shorter
#: input, at least four fifths of the shorter input agree.
PREFIX_SIZES: Final = tuple(sorted({2**octave * quarter // 4 for octave in range(2, 44) for quarter in range(4, 8)}))
PREFIX_DIGEST_BYTES: Final = 8


def _prefix_digests(digest: Any, block: bytes, size: int, step: int) -> bytes:
    """Feeds a block to a running digest, and returns the prefix digests at the `PREFIX_SIZES` that the block reaches.

    Args:
        digest: SHA-256 of the first `size` bytes; updated with the block.
        block: The bytes that follow.
        size: How many bytes the digest has seen.
        step: Index of the next size in `PREFIX_SIZES`.
    """
    found, place = b"", 0
    while PREFIX_SIZES[step] <= size + len(block):
        digest.update(block[place : PREFIX_SIZES[step] - size])
        place = PREFIX_SIZES[step] - size
        found += digest.copy().digest()[:PREFIX_DIGEST_BYTES]
        step += 1
    digest.update(block[place:])
    return found


def digest_of_beginning(location: Location, codec: str, label: str, size: int) -> str:
    """Returns the SHA-256, hex, of the first `size` decompressed bytes of an input, or of all bytes if it has fewer.

    Raises:
        InputError: The input cannot be read.
    """
    digest, left = hashlib.sha256(), size
    with open_decompressed(location, codec, label) as (stream, _):
        while left and (block := stream.read(min(BLOCK_BYTES, left))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


class PartialSurvey(NamedTuple):
    """A quick survey of an input's beginning, for reports that need no digest.

    Attributes:
        survey: A survey without digest and ladder. Its decompressed size is an estimate if a compressed input was not
            read whole.
        is_whole: Whether the input was read to its end.
    """

    survey: Survey
    is_whole: bool


def survey_beginning(location: Location, label: str, head_bytes: int) -> PartialSurvey:
    """Reads the beginning of an input, and samples later places if the input is not compressed.

    Args:
        location: The input's location.
        label: The input's name in messages.
        head_bytes: How many decompressed bytes to read.

    Raises:
        InputError: The beginning cannot be read.
    """
    codec = _codec(location, label)
    stored = size_of(location)
    later = list[bytes]()
    with open_decompressed(location, codec, label) as (stream, position):
        head = stream.read(head_bytes)
        is_whole = not stream.read(1)
        size = len(head)
        if not is_whole and codec == "plain":
            size = stored
            for place in range(head_bytes, stored, max(stored // _SAMPLED_PLACES, 1)) if is_seekable(location) else ():
                stream.seek(place)
                later.append(stream.read(LATER_SAMPLE_BYTES))
        elif not is_whole:
            size = _estimated_size(stream, position, len(head) + 1, stored)
    first = head.lstrip(b"\0")[:SAMPLE_BYTES]
    samples = tuple(map(plain_sample, (first, *later)))
    has_returns = has_return_ends(first)
    return PartialSurvey(Survey(codec, "", stored, size, (0,), (1,), samples, b"", has_returns), is_whole)


def _estimated_size(stream: BinaryIO, position: Callable[[], int], size: int, stored: int) -> int:
    """Estimates the decompressed size of a stream from the compression ratio so far.

    The ratio is taken when the decompressor next reads stored bytes: then it has used up all bytes it read before.
    """
    reached = position()
    while position() == reached and (block := stream.read(SAMPLE_BYTES)):
        size += len(block)
    return size if position() == reached else round(size * stored / max(reached, 1))


def _codec(location: Location, label: str) -> str:
    """Returns the compression of an input.

    Raises:
        InputError: The input cannot be opened, or its type is not supported.
    """
    codec, head = sniff(location, label)
    if is_tar(head):
        raise InputError(
            f"{label} is an archive within another archive.", "Extract the outer archive and name the extracted files."
        )
    return codec


def _identity(location: Location, label: str) -> Identity:
    """Returns the identity of a location.

    Raises:
        InputError: Nothing is there any more.
    """
    try:
        return identity_of(location)
    except OSError as error:
        raise unreadable(label, error) from error
