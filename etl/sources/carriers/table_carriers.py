"""Opens the cells of tables that carry whole records, and lists the exports of log stores by their columns.

The user's role `record` names such a column, or such a key of JSON records and Parquet rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from etl.sources.carriers.carrier import Carrier, Content, text_of
from etl.sources.carriers.opening import Level, OpeningStep
from etl.sources.record import Record

#: The name of the carrier in JSON or Parquet whose column the role `record` names.
NAMED: Final = "record"

_LINE: Final = '192.0.2.7 - - [01/May/2024:12:00:00 +0000] ""GET /acme/collect/shop?click_id=a HTTP/1.1"" 200 2'


class LogExport(NamedTuple):
    """The export of a log store as a table.

    Attributes:
        name: The log store.
        link: The address of its documentation.
        records: Names of the column that carries records. The first that is present counts.
        times: Names of the column of times.
        sample: A header and a row, which carries a line of an access log.
    """

    name: str
    link: str
    records: tuple[str, ...]
    times: tuple[str, ...]
    sample: str


EXPORTS: Final = (
    LogExport(
        "Splunk",
        "https://docs.splunk.com/Documentation/Splunk/latest/Search/Exportsearchresults",
        ("_raw",),
        ("_time",),
        f'"_raw","_time",host\n"{_LINE}","2024-05-01T12:00:00.000+0000","web-1"',
    ),
    LogExport(
        "CloudWatch Logs Insights",
        "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AnalyzingLogData.html",
        ("@message",),
        ("@timestamp", "@ingestionTime"),
        f'@timestamp,@message\n2024-05-01 12:00:00.000,"{_LINE}"',
    ),
    LogExport(
        "Kibana",
        "https://www.elastic.co/docs/explore-analyze/report-and-share",
        ("event.original", "message", "log", "_source.message", "body.text"),
        ("@timestamp", "_source.@timestamp"),
        f'"@timestamp","host.name",message\n"May 1, 2024 @ 12:00:00.000","web-1","{_LINE}"',
    ),
    LogExport(
        "Datadog",
        "https://docs.datadoghq.com/logs/explorer/export/",
        ("Message", "Content"),
        ("Date",),
        f'Date,Host,Service,Message\n"2024-05-01T12:00:00.000Z",web-1,nginx,"{_LINE}"',
    ),
    LogExport(
        "Loki and Grafana",
        "https://grafana.com/docs/grafana/latest/explore/explore-inspector/",
        ("Line", "line"),
        ("Time", "time", "timestamp", "tsNs"),
        f'"Time","Line","tsNs","id"\n2024-05-01 12:00:00.000,"{_LINE}",1714564800000000000,1',
    ),
    LogExport(
        "Google Cloud Logging",
        "https://cloud.google.com/logging/docs/view/logs-explorer-interface",
        ("textPayload", "jsonPayload.message", "jsonPayload"),
        ("timestamp", "receiveTimestamp"),
        f'insertId,textPayload,timestamp\n1,"{_LINE}",2024-05-01T12:00:00.000Z',
    ),
    LogExport(
        "Azure Log Analytics",
        "https://learn.microsoft.com/azure/azure-monitor/logs/save-query",
        ("LogMessage", "LogEntry", "RawData", "SyslogMessage", "ResultDescription", "Log_s", "Message", "Properties"),
        ("TimeGenerated [UTC]", "TimeGenerated"),
        f'"TimeGenerated [UTC]",LogMessage\n"5/1/2024, 12:00:00.000 PM","{_LINE}"',
    ),
)

#: Names of columns of times in any export.
TIMES: Final = tuple(dict.fromkeys(name for export in EXPORTS for name in export.times))

#: A mark that every record satisfies.
_ANY: Final = "!"
_UTC: Final = re.compile(r"\[UTC\]$")


def exported_columns(names: list[str]) -> dict[str, str] | None:
    """Returns the columns of the export whose record and time are among the names of columns; None if there is none.

    Examples:
        >>> exported_columns(["@timestamp", "@message"]), exported_columns(["message", "id"])
        ({'record': '@message', 'received_at': '@timestamp'}, None)
    """
    for export in EXPORTS:
        record = next((name for name in export.records if name in names), None)
        time = next((name for name in export.times if name in names), None)
        if record and (time or record.startswith(("_", "@"))):
            return {"record": record} | ({"received_at": time} if time else {})
    return None


def zone_of(column: str, zone: str) -> str:
    """Returns the zone of times without a zone in a column: UTC if its name says so, else the given zone."""
    return "UTC" if _UTC.search(column) else zone


class Cells(Level):
    """The first level of a table whose rows carry records in one column. Takes the rows in order, from the header."""

    def __init__(self, read: Callable[[bytes], dict[str, str] | Record], columns: Mapping[str, str]) -> None:
        """Prepares the level.

        Args:
            read: Takes the rows of a table in order, and returns their cells by column, or what else a row is.
            columns: The columns by their roles.
        """
        super().__init__(())
        self._read, self._columns = read, columns
        self.is_prefix = False

    def step(self, text: bytes) -> OpeningStep:
        """Opens the cell that carries a record."""
        cells = self._read(text)
        if isinstance(cells, Record):
            return OpeningStep([Content(b"")], fault=cells)
        time = cells.get(self._columns.get("received_at", ""))
        return OpeningStep([Content(text_of(cells.get(self._columns["record"])), time)])


def named_level(columns: Mapping[str, str]) -> Level:
    """Returns the level of the key or column that a user's roles name."""
    record, time = columns["record"], columns.get("received_at")
    times = (time,) if time else ()
    return Level((Carrier(NAMED, "", "", (), marks=(_ANY,), carried=(record,), times=times),))
