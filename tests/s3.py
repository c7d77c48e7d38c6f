"""A real server of S3's protocol on this machine, and the environment that leads to it."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

#: Says at which port it listens once it does. It serves S3 alone: to choose a service takes a third of each request.
_SERVER = """
from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import make_server

server = make_server("127.0.0.1", 0, create_backend_app("s3"), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server without buckets.

    It is a process of its own: a library that waits for it without releasing Python's lock would wait for ever.
    """
    words = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


@contextmanager
def leading_to(address: str) -> Iterator[None]:
    """The environment leads to the server, and afterwards is what it was."""
    before = dict(os.environ)
    os.environ.update(
        AWS_ENDPOINT_URL=address,
        AWS_ACCESS_KEY_ID="id",
        AWS_SECRET_ACCESS_KEY="key",
        AWS_REGION="us-east-1",
        AWS_ALLOW_HTTP="true",
    )
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def make_bucket(name: str) -> str:
    """Makes a bucket in the server to which the environment leads, and returns its address."""
    where = f"{os.environ['AWS_ENDPOINT_URL']}/{name}"
    with urllib.request.urlopen(urllib.request.Request(where, method="PUT")):
        return f"s3://{name}"
