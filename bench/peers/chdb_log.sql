-- A combined access log as requests: its postbacks, and the lines that cannot be read. What repeats from line to line
-- (times, paths) goes through LowCardinality, so that it is parsed once a block.
CREATE VIEW requests AS
WITH
    splitByChar('"', line) AS parts,
    splitByChar(' ', parts[1]) AS head,
    splitByChar(' ', parts[2]) AS request,
    toLowCardinality(concat(substring(head[4], 2), ' ', substring(head[5], 1, 5))) AS clock,
    toLowCardinality(if(is_line, substringIndex(request[2], '?', 1), '')) AS path,
    length(head) = 6 AND length(request) = 3
        AND match(parts[3], '^ [0-9]{3} ([0-9]+|-)( |$)')
        AND match(clock, '^[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}$') AS is_line,
    extractURLParameterNames(request[2]) AS sent_names
SELECT
    toInt64(_row_number + 1) AS record_no,
    multiIf(
        NOT is_line, 'malformed_record',
        http_method = 'POST' AND empty(sent_names), 'body_not_logged', '') AS fault,
    multiIf(
        is_line, 'A POST without a query, in a log that holds no bodies: its conversion cannot be seen',
        NOT match(line, '\\[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}\\]'),
        'Not an access-log line: no time such as [01/May/2024:12:00:00 +0000]',
        length(parts) = 1, 'No request in quotes after the time',
        length(parts) = 2, 'Cut off within the request: its closing quote is missing',
        'No status and size after the request') AS fault_message,
    if(is_line, toDateTime64(parseDateTimeOrNull(clock, '%d/%b/%Y:%H:%i:%s %z', 'UTC'), 6, 'UTC'), NULL) AS received_at,
    if(is_line, request[1], '') AS http_method,
    if(is_line, toInt32OrNull(substring(parts[3], 2, 3)), NULL) AS http_status,
    if(is_line AND head[1] != '-', head[1], '') AS client_ip,
    if(parts[6] != '-', parts[6], '') AS user_agent,
    extract(path, '^/(?:[^/]+/)*?([^/]+)/collect/[^/]+/?$') AS account_id,
    extract(path, '^/.*?[^/]+/collect/([^/]+)/?$') AS integration,
    sent_names AS names,
    arrayMap(
        (pair, name) -> decodeURLFormComponent(substring(pair, length(name) + 2)),
        extractURLParameters(request[2]), sent_names) AS texts,
    line AS raw
FROM file('{source}', LineAsString)
WHERE NOT is_line OR (account_id != '' AND http_method IN ('GET', 'POST'))
