-- A dump of envelopes in JSON lines as requests: its postbacks, and the records that cannot be read.
CREATE VIEW requests AS
WITH
    JSONExtract(
        line,
        'Tuple(received_at String, method String, path LowCardinality(String), headers Tuple(`user-agent` String), body String)'
    ) AS envelope,
    NOT isValidJSON(line) AS is_malformed,
    tupleElement(envelope, 'path') AS path,
    trimLeft(tupleElement(envelope, 'body')) AS body,
    JSONType(line, 'body') = 'Object' AS is_object,
    NOT is_object AND substring(body, 1, 1) IN ('{', '[') AS is_text,
    JSONExtractKeysAndValues(line, 'body', 'String') AS members
SELECT
    toInt64(_row_number + 1) AS record_no,
    multiIf(
        is_malformed, 'malformed_record',
        is_text AND JSONType(body) != 'Object', 'malformed_body', '') AS fault,
    multiIf(
        NOT is_malformed AND isValidJSON(body), 'The body is JSON, but not an object',
        -- Nothing here says where JSON breaks; every body of a generated dump that does is cut off.
        NOT is_malformed, concat('The body is JSON that breaks at character ', toString(lengthUTF8(body) + 1)),
        substring(trimLeft(line), 1, 1) NOT IN ('{', '['), 'Not JSON: it begins with neither { nor [',
        substring(trimRight(line), -1) IN (']', '}'), 'Not valid JSON',
        'Not valid JSON: cut off before its closing bracket') AS fault_message,
    parseDateTime64BestEffortOrNull(tupleElement(envelope, 'received_at'), 6, 'UTC') AS received_at,
    tupleElement(envelope, 'method') AS http_method,
    CAST(NULL AS Nullable(Int32)) AS http_status,
    '' AS client_ip,
    tupleElement(tupleElement(envelope, 'headers'), 'user-agent') AS user_agent,
    extract(path, '^/(?:[^/]+/)*?([^/]+)/collect/[^/]+/?$') AS account_id,
    extract(path, '^/.*?[^/]+/collect/([^/]+)/?$') AS integration,
    members.1 AS names,
    members.2 AS texts,
    line AS raw
FROM file('{source}', LineAsString)
WHERE is_malformed OR (account_id != '' AND http_method IN ('GET', 'POST', ''))
