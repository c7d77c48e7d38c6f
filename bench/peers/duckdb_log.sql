-- A combined access log as requests: its postbacks, and the lines that cannot be read. Names come folded too: the query is
-- folded as a whole before it is split, which is a tenth of the calls.
CREATE VIEW requests AS
WITH parts AS (
    SELECT rowid + 1 AS record_no, line AS raw, string_split(line, '"') AS part FROM lines
), split_lines AS (
    SELECT
        record_no, raw, part, string_split(part[1], ' ') AS head, string_split(part[2], ' ') AS request,
        part[1][-30:] AS clock
    FROM parts
), found AS (
    SELECT
        *, split_part(request[2], '?', 1) AS path,
        substr(request[2], length(path) + 2) AS query,
        coalesce(
            len(head) = 6 AND len(request) = 3 AND regexp_matches(part[3], '^ [0-9]{3} ([0-9]+|-)( |$)')
            AND regexp_full_match(clock, ' \[\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}\] '), false) AS is_line
    FROM split_lines
), routed AS (
    SELECT *, regexp_extract(path, '^/(?:[^/]+/)*?([^/]+)/collect/([^/]+)/?$', ['account_id', 'integration']) AS route
    FROM found
    WHERE NOT is_line OR (contains(path, '/collect/') AND request[1] IN ('GET', 'POST'))
), pairs AS (
    SELECT
        *, CASE WHEN query = '' THEN [] ELSE string_split(replace(query, '+', ' '), '&') END AS pair,
        list_transform(pair, lambda p: split_part(p, '=', 1)) AS names
    FROM routed
    WHERE NOT is_line OR route.account_id != ''
)
SELECT
    record_no,
    CASE
        WHEN NOT is_line THEN 'malformed_record'
        WHEN request[1] = 'POST' AND query = '' THEN 'body_not_logged'
    END AS fault,
    CASE
        WHEN is_line THEN 'A POST without a query, in a log that holds no bodies: its conversion cannot be seen'
        WHEN NOT regexp_matches(raw, '\[\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}\]')
            THEN 'Not an access-log line: no time such as [01/May/2024:12:00:00 +0000]'
        WHEN len(part) = 1 THEN 'No request in quotes after the time'
        WHEN len(part) = 2 THEN 'Cut off within the request: its closing quote is missing'
        ELSE 'No status and size after the request'
    END AS fault_message,
    CASE WHEN is_line THEN strptime(clock[3:28], '%d/%b/%Y:%H:%M:%S %z') END AS received_at,
    CASE WHEN is_line THEN request[1] END AS http_method,
    CASE WHEN is_line THEN part[3][2:4]::INTEGER END AS http_status,
    CASE WHEN is_line THEN nullif(head[1], '-') END AS client_ip,
    CASE WHEN is_line THEN nullif(part[6], '-') END AS user_agent,
    CASE WHEN is_line THEN route.account_id END AS account_id,
    CASE WHEN is_line THEN route.integration END AS integration,
    names,
    list_transform(
        string_split(replace(replace(lower(query), '_', ''), '-', ''), '&'), lambda p: split_part(p, '=', 1)) AS folded,
    list_transform(pair, lambda p, i: url_decode(p[length(names[i]) + 2:])) AS texts,
    raw
FROM pairs
