"""Defines the carriers of lines: container runtimes, syslog and log stores that write a prefix before each line.

Prefixes that other texts may begin with, too, are not clear: they are prefixes only where a record follows.
"""

from __future__ import annotations

import re
from typing import Final

from etl.sources.carriers.carrier import CarriedPiece, Carrier, Pieces

_COLOURS: Final = rb"(?:\x1b\[[\d;]*m)*"
_ISO: Final = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_STAMP: Final = (
    rb"(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d+)?|(?P<time>" + _ISO + rb")) "
)
#: The number of a line before it: an address of IPv6 begins with such digits, too.
_NUMBER: Final = rb"\d{1,9}:(?=(?:\d{1,3}\.){3}\d{1,3}[ ,:]|[{\[<\"])"
_CRI: Final = re.compile(rb"(" + _ISO + rb" (stdout|stderr) )([FP])((?::\S*)? ?)(.*)", re.DOTALL)
_LINE: Final = b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2'
_PAYLOAD: Final = b'{"click_id": "a"}'


def _cri_piece(record: bytes) -> CarriedPiece | None:
    """Returns the piece in a line of the container runtime interface."""
    match = _CRI.fullmatch(record)
    return CarriedPiece(match[2], match[5], match[3] == b"F") if match else None


def _cri_join(first: bytes, whole: bytes) -> bytes:
    """Returns the line that the runtime would have written, had it not cut it."""
    match = _CRI.fullmatch(first)
    return match[1] + b"F" + match[4] + whole if match else whole


def _samples(*prefixes: bytes) -> tuple[tuple[bytes, tuple[bytes, ...]], ...]:
    """Returns samples that carry a line of an access log and a payload behind each prefix."""
    return tuple((prefix + text, (text,)) for prefix in prefixes for text in (_LINE, _PAYLOAD))


LINE_CARRIERS: Final = (
    Carrier(
        "cri",
        "Log file of a container in Kubernetes",
        "https://kubernetes.io/docs/concepts/cluster-administration/logging/",
        _samples(b"2024-05-01T12:00:00.1Z stdout F "),
        prefix=rb"(?P<time>" + _ISO + rb") (?:stdout|stderr) [FP](?::\S*)?(?: |$)",
        pieces=Pieces(lambda record: b" P" not in record[:64], _cri_piece, _cri_join),
    ),
    Carrier(
        "docker_compose",
        "Lines of `docker compose logs`, with or without colours",
        "https://docs.docker.com/reference/cli/docker/compose/logs/",
        _samples(b"web-1  | ", b"\x1b[36mweb-1  |\x1b[0m ", b"\x1b[0;33;1mnginx.1    | \x1b[0m"),
        prefix=_COLOURS
        + rb"(?!(?:\d+\.){3}\d+ )[A-Za-z0-9][\w.-]{0,99} +"
        + _COLOURS
        + rb"\|"
        + _COLOURS
        + rb" ?"
        + _COLOURS,
    ),
    Carrier(
        "kubectl",
        "Lines of `kubectl logs --prefix`",
        "https://kubernetes.io/docs/reference/kubectl/generated/kubectl_logs/",
        _samples(b"[pod/web-1/nginx] "),
        prefix=_COLOURS + rb"\[pod/[\w.-]+/[\w.-]+\]" + _COLOURS + rb" ",
    ),
    Carrier(
        "syslog_5424",
        "Syslog message by RFC 5424, with or without its octet count",
        "https://www.rfc-editor.org/rfc/rfc5424",
        _samples(
            b"<190>1 2024-05-01T12:00:00.1Z web-1 nginx 812 - - ",
            b'120 <190>1 2024-05-01T12:00:00Z web-1 nginx 812 - [a@1 b="]\\""] ',
            b"120 <190>1 2024-05-01T12:00:00Z host app web.1 - ",
        ),
        prefix=rb"(?:\d{1,7} )?<\d{1,3}>1 (?:-|(?P<time>\S+)) \S+ \S+ \S+ \S+"
        rb"(?: (?:-|(?:\[[^\s\]\"]+(?: [^\s=\]\"]+=\"(?:[^\"\\]|\\.)*\")*\])+))?(?: |$)(?:\xef\xbb\xbf)?",
    ),
    Carrier(
        "syslog",
        "Syslog message by RFC 3164, or line of `journalctl`",
        "https://www.rfc-editor.org/rfc/rfc3164",
        _samples(
            b"<134>May  1 12:00:00 web-1 nginx[7]: ",
            b"May 01 12:00:00 web-1 nginx: ",
            b"May 01 12:00:00.123456 web-1 nginx[7]: ",
            b"2024-05-01T12:00:00+0000 web-1 nginx[7]: ",
        ),
        prefix=rb"(?:\d{1,7} )?" + _STAMP + rb"(?!\{)\S+ [A-Za-z(][\w./()-]*(?:\[\d+\])?: ",
    ),
    Carrier(
        "fluentd",
        "Line of a file that Fluentd writes: time, tag and record",
        "https://docs.fluentd.org/output/file",
        ((b"2024-05-01T12:00:00+00:00\tnginx.access\t" + _PAYLOAD, (_PAYLOAD,)),),
        prefix=rb"(?P<time>" + _ISO + rb")\t[\w.:/-]+\t(?=\{)",
    ),
    Carrier(
        "logcli",
        "Line of Loki's `logcli query`: time, labels and line",
        "https://grafana.com/docs/loki/latest/query/logcli/",
        _samples(b'2024-05-01T12:00:00Z {job="nginx"} ', b"2024-05-01T12:00:00Z {} "),
        prefix=_COLOURS
        + rb"(?P<time>"
        + _ISO
        + rb")"
        + _COLOURS
        + rb"[ \t]+"
        + _COLOURS
        + rb"\{(?:\w+=\"(?:[^\"\\]|\\.)*\"(?:, ?)?)*\}"
        + _COLOURS
        + rb"[ \t]+"
        + _COLOURS,
    ),
    Carrier(
        "dyno",
        "Line of a program that runs on Heroku, Scalingo or Fly.io: time, program and line",
        "https://devcenter.heroku.com/articles/logging#log-format",
        _samples(b"2024-05-01T12:00:00.123456+00:00 app[web.1]: ", b"2024-05-01T12:00:00Z app[148e4563] fra [info]"),
        prefix=rb"(?P<time>" + _ISO + rb") app\[[\w.-]+\](?:: | +[a-z]{3} +\[\w+\] ?)",
        is_clear=False,
    ),
    Carrier(
        "pm2",
        "Line of `pm2 logs`: number, program, time and line",
        "https://pm2.keymetrics.io/docs/usage/log-management/",
        _samples(b"0|web  | ", b"12|my-app | 2024-05-01 12:00:00 +00:00: "),
        prefix=_COLOURS + rb"\d+\|[\w.-]+ *\| ?" + _COLOURS + rb"(?:(?P<time>" + _ISO + rb"(?: [+-]\d\d:?\d\d)?): )?",
        is_clear=False,
    ),
    Carrier(
        "grep",
        "Line that `grep` or `zgrep` found, behind the name of its file or its number",
        "https://www.gnu.org/software/grep/manual/grep.html",
        _samples(b"access.log:", b"/var/log/nginx/access.log-20240501.gz:12:", b"12:"),
        prefix=rb"(?:(?=[^\s:]*[A-Za-z])[^\s:\"]*\.(?:log|txt|out|json|jsonl|csv|gz|bz2|xz|zst|\d+)(?:[.-]\w+){0,3}:(?:"
        + _NUMBER
        + rb")?|"
        + _NUMBER
        + rb")",
        is_clear=False,
    ),
    Carrier(
        "python_logging",
        "Line of Python's logging in its basic layout: level, logger and line",
        "https://docs.python.org/3/library/logging.html#logging.basicConfig",
        _samples(b"INFO:aiohttp.access:"),
        prefix=rb"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):[\w.-]+:",
        is_clear=False,
    ),
    Carrier(
        "aws_logs",
        "Line of `aws logs tail`: time, stream and line",
        "https://docs.aws.amazon.com/cli/latest/reference/logs/tail.html",
        _samples(b"2024-05-01T12:00:00.123000+00:00 web/nginx/1a2b3c "),
        prefix=rb"(?P<time>" + _ISO + rb") [\w.$\[\]/#-]*/[\w.$\[\]/#-]+ ",
        is_clear=False,
    ),
    Carrier(
        "time",
        "Time before a line, as `docker logs -t`, `kubectl logs --timestamps` and Grafana write it",
        "https://docs.docker.com/reference/cli/docker/container/logs/",
        ((b"2024-05-01T12:00:00.1Z " + _LINE, (_LINE,)), (b"2024-05-01 12:00:00.123\t" + _LINE, (_LINE,))),
        prefix=rb"(?P<time>" + _ISO + rb")[ \t]+",
        is_clear=False,
    ),
    Carrier(
        "syslog_without_tag",
        "Syslog message without the name of a program",
        "https://www.rfc-editor.org/rfc/rfc3164",
        _samples(b"May  1 12:00:00 web-1 ", b"<134>May  1 12:00:00 web-1 "),
        prefix=_STAMP + rb"[A-Za-z0-9][\w.:-]* (?!- )",
        is_clear=False,
    ),
    Carrier(
        "program",
        "Host and program before a line, as Upsun and other platforms write them",
        "https://docs.upsun.com/increase-observability/logs/forward-fastly.html",
        _samples(b"front.0 nginx: "),
        prefix=rb"[A-Za-z][\w.-]* [A-Za-z][\w./-]*(?:\[\d+\])?: ",
        is_clear=False,
    ),
    Carrier(
        "stern",
        "Line of `stern`: pod, container and line, with or without colours",
        "https://github.com/stern/stern",
        _samples(b"web-7d9f nginx ", b"\x1b[32mweb-7d9f\x1b[0m \x1b[92mnginx\x1b[0m "),
        prefix=_COLOURS
        + rb"(?=[\d.-]*[a-z])[a-z0-9.]+-[a-z0-9.-]+"
        + _COLOURS
        + rb" (?:\xe2\x80\xba )?"
        + _COLOURS
        + rb"[a-z0-9][a-z0-9-]*"
        + _COLOURS
        + rb" ",
        is_clear=False,
    ),
)
