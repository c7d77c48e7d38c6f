"""The command as its callers meet it: what it reads and writes, and its exit code.

`run` calls `etl.cli.main` within this process, which takes a tenth of the time that a new process takes to start. The
command gets the file descriptors 0, 1 and 2, arguments, signals and environment that a process of its own would have.
`run_process` starts the process: for tests of signals, pipes, limits and of what only a start shows.
"""

from __future__ import annotations

import functools
import io
import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer.main

from etl.cli import main

#: The parser of the command is made of its functions' signatures: once is enough here.
typer.main.get_command = functools.cache(typer.main.get_command)

Finished = subprocess.CompletedProcess[bytes]


def run(
    *arguments: object,
    stdin: bytes = b"",
    code: int | None = 0,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Runs the command within this process; its exit code must be `code`, and may be any for None."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, _pipe_of(stdin) as source:
        with _in_place(arguments, cwd, env), _at_descriptors(source, out.fileno(), err.fileno()):
            returned = _ended()
        finished = subprocess.CompletedProcess(arguments, returned, _content(out), _content(err))
    assert code in (None, finished.returncode), finished.stderr.decode()
    return finished


def run_process(*arguments: object, code: int = 0, **options: Any) -> Finished:
    """Runs the command in a process of its own."""
    words = [sys.executable, "-m", "etl", *map(str, arguments)]
    finished: Finished = subprocess.run(words, capture_output=True, check=False, **options)
    assert finished.returncode == code, finished.stderr.decode()
    return finished


def start_process(*arguments: object, **options: Any) -> subprocess.Popen[Any]:
    """Starts the command in a process of its own, and does not wait for its end."""
    return subprocess.Popen([sys.executable, "-m", "etl", *map(str, arguments)], **options)


def on_terminal(*arguments: object) -> str:
    """What a person sees at 80 columns."""
    seen: list[bytes] = []
    parent, terminal = pty.openpty()
    reader = threading.Thread(target=lambda: seen.extend(_blocks(parent)))
    reader.start()
    env = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color"}
    try:
        with _in_place(arguments, None, env), _at_descriptors(terminal, terminal, terminal):
            _ended()
    finally:
        os.close(terminal)
        reader.join()
        os.close(parent)
    return b"".join(seen).decode()


def assert_refused(finished: Finished, *words: str) -> None:
    """The command has said in two lines what is wrong and what to do, with these words in them."""
    text = finished.stderr.decode()
    assert len(text.splitlines()) == 2, text
    assert text.startswith("error: ")
    assert [word for word in words if word not in text] == []


# --- what a process has of its own ------------------------------------------------------------------------------


def _ended() -> int:
    """Runs `main` to its end, and returns the exit code that the interpreter would make of it."""
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    finally:
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
    return code if isinstance(code, int) else int(code is not None)


@contextmanager
def _in_place(arguments: tuple[object, ...], cwd: Path | None, env: Mapping[str, str] | None) -> Iterator[None]:
    """The arguments, the folder and the environment of the command; afterwards all that `main` sets is as it was."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    before = sys.argv, sys.unraisablehook, Path.cwd(), dict(os.environ), tempfile.tempdir
    program = sys.modules["__main__"]
    package = program.__package__
    try:
        with warnings.catch_warnings():
            program.__package__ = None  # by which the command would be called `python -m pytest.postback-etl`
            sys.argv = ["postback-etl", *map(str, arguments)]
            if env is not None:
                _set_environment(env)
                tempfile.tempdir = None
            if cwd is not None:
                os.chdir(cwd)
            yield
    finally:
        sys.argv, sys.unraisablehook, folder, environment, tempfile.tempdir = before
        program.__package__ = package
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
        if cwd is not None:
            os.chdir(folder)
        if env is not None:
            _set_environment(environment)


def _set_environment(names: Mapping[str, str]) -> None:
    for name in os.environ.keys() - names.keys():
        del os.environ[name]
    for name, value in names.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


@contextmanager
def _at_descriptors(*files: int) -> Iterator[None]:
    """Puts the files at the descriptors 0, 1 and 2, and fresh streams of Python over them."""
    streams = sys.stdin, sys.stdout, sys.stderr
    for stream in streams[1:]:
        stream.flush()
    kept = [os.dup(number) for number in range(3)]
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        sys.stdin, sys.stdout = _stream(0, "r", "surrogateescape"), _stream(1, "w", "surrogateescape")
        sys.stderr = _stream(2, "w", "backslashreplace")
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        for number, file in enumerate(kept):
            os.dup2(file, number)
            os.close(file)


def _stream(number: int, mode: str, errors: str) -> Any:
    file = open(number, f"{mode}b", closefd=False)  # noqa: SIM115 - a descriptor is no path
    is_line_buffered = mode == "w" and (number == 2 or file.raw.isatty())
    return io.TextIOWrapper(file, encoding="utf-8", errors=errors, line_buffering=is_line_buffered)


@contextmanager
def _pipe_of(data: bytes) -> Iterator[int]:
    """The end of a pipe out of which the data comes."""
    read_end, write_end = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), open(write_end, "wb", buffering=0) as pipe:  # noqa: PTH123 - a descriptor
            pipe.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield read_end
    finally:
        os.close(read_end)
        writer.join()


def _content(file: Any) -> bytes:
    file.seek(0)
    return bytes(file.read())


def _blocks(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            block = os.read(terminal, 65_536)
        except OSError:  # the other end is closed
            return
        if not block:
            return
        yield block
