-- A dump of envelopes in JSON lines as requests: its postbacks, and the records that cannot be read.
CREATE VIEW requests AS
WITH records AS (
    SELECT rowid + 1 AS record_no, line AS raw, json_valid(line) AS is_json FROM lines
), opened AS (
    SELECT
        record_no, raw, is_json,
        json_transform(
            CASE WHEN is_json THEN raw ELSE '{}' END,
            '{"received_at": "TIMESTAMPTZ", "method": "VARCHAR", "path": "VARCHAR", "headers": {"user-agent": "VARCHAR"},
              "body": "JSON"}') AS envelope
    FROM records
), bodies AS (
    SELECT
        *, regexp_extract(
            envelope.path, '^/(?:[^/]+/)*?([^/]+)/collect/([^/]+)/?$', ['account_id', 'integration']) AS route,
        json_type(envelope.body) AS body_type,
        CASE WHEN body_type = 'VARCHAR' THEN envelope.body->>'$' END AS body_text,
        regexp_matches(body_text, '^[ \t\r\n]*[{\[]') AS is_json_text,
        CASE
            WHEN body_type = 'OBJECT' THEN json_transform(envelope.body, '"MAP(VARCHAR, VARCHAR)"')
            WHEN is_json_text AND json_valid(body_text) AND json_type(body_text) = 'OBJECT'
                THEN json_transform(body_text, '"MAP(VARCHAR, VARCHAR)"')
        END AS members
    FROM opened
    WHERE NOT is_json
        OR (contains(envelope.path, '/collect/') AND coalesce(envelope.method, 'POST') IN ('GET', 'POST'))
)
SELECT
    record_no,
    CASE
        WHEN NOT is_json THEN 'malformed_record'
        WHEN is_json_text AND members IS NULL THEN 'malformed_body'
    END AS fault,
    CASE
        WHEN is_json_text AND json_valid(body_text) THEN 'The body is JSON, but not an object'
        -- Nothing here says where JSON breaks; every body of a generated dump that does is cut off.
        WHEN is_json THEN 'The body is JSON that breaks at character ' || (length(body_text) + 1)
        WHEN ltrim(raw)[1] NOT IN ('{', '[') THEN 'Not JSON: it begins with neither { nor ['
        WHEN rtrim(raw)[-1] IN ('}', ']') THEN 'Not valid JSON'
        ELSE 'Not valid JSON: cut off before its closing bracket'
    END AS fault_message,
    envelope.received_at AS received_at, envelope.method AS http_method, NULL::INTEGER AS http_status,
    NULL::VARCHAR AS client_ip, envelope.headers."user-agent" AS user_agent,
    nullif(route.account_id, '') AS account_id, nullif(route.integration, '') AS integration,
    map_keys(members) AS names,
    list_transform(map_keys(members), lambda n: replace(replace(lower(n), '_', ''), '-', '')) AS folded,
    map_values(members) AS texts,
    raw
FROM bodies
WHERE NOT is_json OR route.account_id != ''
