"""Addresses of clients, as servers write them: with or without a port, in brackets, first of a list."""

from __future__ import annotations

import re
from typing import Final

_PORT: Final = re.compile(r"(?<=[0-9\]]):[0-9]+$")


def client_address(text: str) -> str | None:
    """The first address of a list, without quotes, brackets and port; None where there is none.

    Examples:
        >>> [client_address(text) for text in ("192.0.2.1:80", "[2001:db8::1]:443", "192.0.2.1, 192.0.2.2", "-")]
        ['192.0.2.1', '2001:db8::1', '192.0.2.1', None]
    """
    first = text.replace('"', "").partition(",")[0].strip()
    address = _PORT.sub("", first) if first.count(":") == 1 or first.startswith("[") else first
    return address.strip("[]-") or None
