"""Finds clients in texts: their addresses, and in the lines of logs the users who are logged in (rules 9.1)."""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

_IPV4: Final = re.compile(r"(?<![\w./-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w.-])")
_IPV6: Final = re.compile(
    r"(?<![\w:./])(?=[0-9A-Fa-f:.]*::|(?:[0-9A-Fa-f]{1,4}:){7})[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z]+)?(?!\w)"
)

#: A text without `::` and with at most 6 colons contains no IPv6 address, which has seven.
_COLONS_OF_A_LINE: Final = 6

#: The text of a line before its time in brackets.
_LINE_HEAD: Final = re.compile(r"^[^\n]*? (?=\[[0-9]{1,2}/[A-Z][a-z]{2}/[0-9]{4}[: ])", re.MULTILINE)
_NUMBER: Final = re.compile(r"[0-9.]+")

#: A line has fewer addresses before its user: of proxies and of a virtual host.
_ADDRESSES: Final = 8


def hide_client_addresses(text: str) -> str:
    """Replaces the IP addresses of a text by `-`."""
    text = _IPV4.sub("-", text)
    return _IPV6.sub("-", text) if _may_hold_ipv6(text) else text


def hide_users(text: str) -> str:
    """Replaces the users in the lines of logs within a text by `-`.

    Examples:
        >>> hide_users('192.0.2.7 - ann lee [01/May/2024:12:00:00 +0000] "GET / HTTP/1.1"')
        '192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET / HTTP/1.1"'
    """
    if " [" not in text or "/" not in text:
        return text
    return _LINE_HEAD.sub(lambda head: hide_user(head[0]), text)


def hide_user(head: str) -> str:
    """Replaces the user in the text of a line before its time: after the client, an identity and the user follow.

    Args:
        head: The text, with the blank before the time.

    Examples:
        >>> [hide_user(head) for head in ("web | 192.0.2.7 - ann 0.5 ", "shop.example.com ann lee ", "ann: ")]
        ['web | 192.0.2.7 - - 0.5 ', 'shop.example.com - - ', 'ann: ']
    """
    if head.endswith(" - - "):
        return head
    patterns = (_IPV4, _IPV6) if _may_hold_ipv6(head) else (_IPV4,)
    clients = [client.end() for pattern in patterns for client in islice(pattern.finditer(head), _ADDRESSES)]
    for place in clients:
        if hidden := _without_user(head[place:]):
            return head[:place] + hidden
    host, dash, user = head.partition(" - ")
    if clients or not (dash and user):
        return head if clients or len(head.split()) != len(("host", "identity", "user")) else _first(head) + " - - "
    return f"{host} - - "


def _first(head: str) -> str:
    return head.partition(" ")[0]


def _without_user(rest: str) -> str | None:
    """Returns what follows a client without its identity and user; None if these are not what follows."""
    glued, _, more = rest.partition(" ")
    words = more.rstrip(" ").split(" ")
    numbers = 0
    while numbers < len(words) - 2 and _NUMBER.fullmatch(words[-1 - numbers]):
        numbers += 1
    named = len(words) - numbers
    if named < 2 or (named > 2 and words[0] != "-"):
        return None
    return " ".join([glued, "-", "-", *words[named:], ""])


def _may_hold_ipv6(text: str) -> bool:
    return "::" in text or text.count(":") > _COLONS_OF_A_LINE
