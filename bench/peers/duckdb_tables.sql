-- Requests to the four tables. A parameter without a text loses its name, so that the first place of a name is the first
-- that was sent; the winner of a field is the first alias, in the order of the page, that has a place.
CREATE MACRO amount(number) AS try_cast(trim(number) AS DECIMAL(38, 9));

CREATE TEMP TABLE judged AS
WITH sent AS (
    SELECT
        * EXCLUDE (names, folded),
        coalesce(list_min(texts) < '!', false) OR list_count(texts) < len(texts) AS may_be_empty,
        CASE WHEN NOT may_be_empty THEN names
            ELSE list_transform(names, lambda n, i: CASE WHEN trim(texts[i]) != '' THEN n END) END AS names,
        CASE WHEN NOT may_be_empty THEN folded
            ELSE list_transform(folded, lambda n, i: CASE WHEN trim(texts[i]) != '' THEN n END) END AS folded
    FROM requests
), placed AS (
    SELECT
        *,
        coalesce(list_position(folded, 'clickid'), list_position(folded, 'click')) AS click_place,
        coalesce(list_position(folded, 'refid'), list_position(folded, 'ref')) AS ref_place,
        list_position(folded, 'email') AS email_place,
        coalesce(click_place, ref_place, email_place) AS match_place,
        coalesce(
            list_position(folded, 'value'), list_position(folded, 'commission'), list_position(folded, 'amount'),
            list_position(folded, 'revenue'), list_position(folded, 'total'), list_position(folded, 'totalvalue'),
            list_position(folded, 'eventvalue')) AS value_place,
        texts[coalesce(
            list_position(folded, 'currency'), list_position(folded, 'cur'), list_position(folded, 'curr'))]
            AS sent_currency,
        trim(texts[coalesce(list_position(folded, 'eventname'), list_position(folded, 'event'))]) AS event_name,
        texts[list_position(names, 'conversion_type')] AS conversion_type,
        texts[coalesce(list_position(folded, 'transactionid'), list_position(folded, 'transaction'))] AS transaction_id,
        texts[coalesce(list_position(folded, 'brandname'), list_position(folded, 'brand'))] AS brand_name,
        trim(texts[coalesce(
            list_position(folded, 'timestamp'), list_position(folded, 'time'), list_position(folded, 'date'),
            list_position(folded, 'datetime'), list_position(folded, 'createdat'))]) AS stamp,
        texts[coalesce(list_position(names, 'first_name'), list_position(names, 'firstName'))] AS sent_first,
        texts[coalesce(list_position(names, 'last_name'), list_position(names, 'lastName'))] AS sent_last,
        CASE WHEN sent_first IS NULL AND sent_last IS NULL THEN texts[coalesce(
            list_position(names, 'full_name'), list_position(names, 'fullName'), list_position(names, 'name'))]
        END AS full_name,
        regexp_replace(trim(full_name), '\s+', ' ', 'g') AS one_name,
        string_split(CASE WHEN length(one_name) - length(replace(one_name, ',', '')) = 1 THEN one_name END, ',') AS sides,
        coalesce(
            list_position(folded, 'items'), list_position(folded, 'lineitems'), list_position(folded, 'products'))
            IS NOT NULL AS has_items,
        CASE WHEN list_contains(folded, 'commission') THEN len(list_filter(
            texts, lambda t, i: folded[i] = 'commission' AND amount(t) > 0)) > 0 ELSE false END AS has_commission,
        CASE WHEN regexp_full_match(stamp, '\d{9,10}(\.\d+)?') THEN stamp::DECIMAL(38, 6) END AS seconds,
        CASE WHEN seconds BETWEEN 946684800 AND 4102444800
            THEN make_timestamptz((seconds * 1000000)::BIGINT) END AS sent_at,
        CASE WHEN contains(array_to_string(names, ' '), 'xat_') THEN list_distinct_in_order(list_filter(
            names, lambda n: n[:4] = 'xat_' AND length(n) > 4)) END AS passthrough_names
    FROM sent
)
SELECT
    record_no, fault, fault_message, account_id, integration, received_at,
    coalesce(sent_at, received_at) AS occurred_at,
    CASE WHEN sent_at IS NULL THEN 'received' ELSE 'parameter' END AS occurred_at_rule,
    CASE
        WHEN click_place IS NOT NULL THEN 'click_id' WHEN ref_place IS NOT NULL THEN 'ref_id'
        WHEN email_place IS NOT NULL THEN 'email'
    END AS match_type,
    texts[match_place] AS match_key, names[match_place] AS match_param,
    texts[click_place] AS click_id, texts[ref_place] AS ref_id,
    CASE
        WHEN event_name IS NOT NULL THEN event_name
        WHEN conversion_type IS NOT NULL THEN CASE
            WHEN lower(conversion_type) IN ('click', 'outbound_click', 'outboundclick') THEN 'OutboundClick'
            WHEN lower(conversion_type) IN ('form_submit', 'formsubmit') THEN 'FormSubmit'
            WHEN lower(conversion_type) IN ('lead', 'cpl') THEN 'Lead'
            WHEN lower(conversion_type) IN
                ('registration', 'complete_registration', 'completeregistration', 'acquisition', 'cpa')
                THEN 'CompleteRegistration'
            WHEN lower(conversion_type) IN ('purchase', 'sale', 'cps') THEN 'Purchase'
        END
        WHEN has_commission THEN 'Purchase'
        ELSE 'Lead'
    END AS event,
    CASE
        WHEN event_name IS NOT NULL THEN 'event_name' WHEN conversion_type IS NOT NULL THEN 'conversion_type'
        WHEN has_commission THEN 'automatic_commission' ELSE 'automatic_lead'
    END AS event_rule,
    conversion_type, amount(texts[value_place]) AS value, names[value_place] AS value_param,
    CASE WHEN regexp_full_match(trim(sent_currency), '[A-Za-z]{3}') THEN upper(trim(sent_currency)) ELSE sent_currency END
        AS currency,
    sent_currency IS NULL AS currency_defaulted, transaction_id, brand_name,
    texts[list_position(names, 'email')] AS email, texts[list_position(names, 'phone')] AS phone,
    CASE
        WHEN full_name IS NULL THEN sent_first WHEN sides IS NOT NULL THEN nullif(trim(sides[2]), '')
        ELSE split_part(one_name, ' ', 1)
    END AS first_name,
    CASE
        WHEN full_name IS NULL THEN sent_last WHEN sides IS NOT NULL THEN nullif(trim(sides[1]), '')
        ELSE nullif(substr(one_name, length(split_part(one_name, ' ', 1)) + 2), '')
    END AS last_name,
    texts[list_position(names, 'birthdate')] AS birthdate, texts[list_position(names, 'city')] AS city,
    texts[list_position(names, 'state')] AS state, texts[list_position(names, 'zipcode')] AS zipcode,
    texts[list_position(names, 'country')] AS country,
    CASE
        WHEN sent_first IS NOT NULL OR sent_last IS NOT NULL THEN 'parts'
        WHEN first_name IS NOT NULL OR last_name IS NOT NULL THEN 'full_name'
    END AS name_rule,
    CASE WHEN has_items THEN list_filter(
        list_transform(
            [texts[list_position(folded, 'items')], texts[list_position(folded, 'lineitems')],
             texts[list_position(folded, 'products')]], lambda t: elements_of(t)),
        lambda e: len(e) > 0)[1] END AS elements,
    passthrough_names,
    list_transform(passthrough_names, lambda n: texts[list_position(names, n)]) AS passthrough_texts,
    http_method, http_status, client_ip, user_agent,
    CASE
        WHEN fault IS NOT NULL THEN [fault]
        ELSE list_filter(
            [CASE WHEN match_place IS NULL THEN 'missing_identity' END,
             CASE WHEN event IS NULL THEN 'unknown_conversion_type' END], lambda r: r IS NOT NULL)
    END AS reasons
FROM placed;

-- Only keys whose hash occurs twice are compared as a whole.
CREATE TEMP TABLE duplicates AS
WITH keyed AS (
    SELECT
        record_no, account_id, integration, event, trim(transaction_id) AS transaction_key, received_at,
        value, currency, match_key, hash(account_id, integration, event, transaction_key) AS key_hash
    FROM judged
    WHERE len(reasons) = 0 AND transaction_id IS NOT NULL
), repeated AS (
    SELECT * FROM keyed
    WHERE key_hash IN (SELECT key_hash FROM keyed GROUP BY key_hash HAVING count(*) > 1)
        AND lower(transaction_key) NOT IN ('null', 'undefined', 'none', 'nil', 'nan', 'n/a', 'na', '-', '[object object]', '0', 'false', 'unknown')
        AND NOT regexp_full_match(transaction_key,
            '(?:YOUR_)?(?:CLICK|REF|TRANSACTION|ORDER)_?ID(?:_HERE)?|REPLACE_ME|REPLACE_THIS|CHANGE_?ME|PLACEHOLDER')
        AND NOT regexp_full_match(transaction_key, replace(replace(
            '\{W\}|\{\{W\}\}|\{\{\{W\}\}\}|\[W\]|\[\[W\]\]|\[\[\[W\]\]\]|<W>|<%=W%>|\$\{W\}|%W%|%%W%%|__W__|!W!|!!W!!|!!!W!!!'
            || '|--W--|#W#|##W##|\*\|W\|\*|\$\$W\$\$|@@W@@|\{V|\{\{V|\$\{V|\[V|\[\[V|<V|V\}|V\}\}|V\]|V\]\]|V>',
            'W', ' ?[A-Za-z0-9$_](?: ?[A-Za-z0-9_.|$\[\]-])* ?'), 'V', ' ?[A-Za-z0-9$_](?: ?[A-Za-z0-9_.|$-])* ?'))
)
SELECT
    record_no, first(record_no) OVER kept AS duplicate_of,
    CASE WHEN first(row(value, currency, match_key)) OVER kept IS NOT DISTINCT FROM row(value, currency, match_key)
        THEN 'identical' ELSE 'conflicting' END AS duplicate_kind
FROM repeated
WINDOW kept AS (
    PARTITION BY account_id, integration, event, transaction_key ORDER BY received_at NULLS LAST, record_no
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
QUALIFY record_no != duplicate_of;

-- Written:
CREATE TEMP VIEW kept AS
SELECT * FROM judged WHERE len(reasons) = 0 AND record_no NOT IN (SELECT record_no FROM duplicates);

COPY (
    SELECT
        record_no, account_id, integration, received_at, occurred_at, occurred_at_rule, match_type, match_key, match_param,
        click_id, ref_id, event, event_rule, conversion_type, value, value_param, currency, currency_defaulted,
        transaction_id, brand_name, email, phone, first_name, last_name, birthdate, city, state, zipcode, country, name_rule,
        coalesce(len(list_filter(elements, lambda e: json_type(e) = 'OBJECT')), 0)::INTEGER AS item_count,
        coalesce(len(passthrough_names), 0)::INTEGER AS passthrough_count,
        http_method, http_status, client_ip, user_agent{hashes}
    FROM kept{joins}
) TO '{out}/conversions.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);

COPY (
    WITH elements AS (
        SELECT record_no, unnest(elements) AS element, generate_subscripts(elements, 1) - 1 AS position
        FROM kept WHERE elements IS NOT NULL
    ), members AS (
        SELECT
            record_no, position, json_transform(element, '"MAP(VARCHAR, VARCHAR)"') AS members,
            map_values(members) AS texts,
            list_transform(map_keys(members), lambda n, i:
                CASE WHEN trim(texts[i]) != '' THEN replace(replace(lower(n), '_', ''), '-', '') END) AS names
        FROM elements WHERE json_type(element) = 'OBJECT'
    )
    SELECT
        record_no, position::INTEGER AS position,
        texts[coalesce(list_position(names, 'id'), list_position(names, 'productid'), list_position(names, 'itemid'))]
            AS item_id,
        texts[coalesce(
            list_position(names, 'name'), list_position(names, 'title'), list_position(names, 'label'),
            list_position(names, 'productname'), list_position(names, 'itemname'))] AS name,
        texts[coalesce(
            list_position(names, 'variant'), list_position(names, 'variantid'), list_position(names, 'productvariant'),
            list_position(names, 'itemvariant'))] AS variant,
        amount(texts[coalesce(
            list_position(names, 'price'), list_position(names, 'productprice'), list_position(names, 'itemprice'))])
            AS price,
        amount(texts[coalesce(
            list_position(names, 'qty'), list_position(names, 'quantity'), list_position(names, 'productquantity'),
            list_position(names, 'itemquantity'))]) AS quantity
    FROM members
) TO '{out}/items.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);

COPY (
    SELECT
        record_no, (nth - 1)::INTEGER AS position, name[5:] AS name, value, nth <= 5 AS stored
    FROM (
        SELECT
            record_no, unnest(passthrough_names) AS name, unnest(passthrough_texts) AS value,
            generate_subscripts(passthrough_names, 1) AS nth
        FROM kept WHERE passthrough_names IS NOT NULL
    )
) TO '{out}/passthroughs.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);

COPY (
    SELECT
        record_no, coalesce(d.reason, reasons[1]) AS reason,
        CASE WHEN d.reason IS NULL THEN reasons ELSE [d.reason] END AS reasons,
        CASE coalesce(d.reason, reasons[1])
            WHEN 'duplicate_transaction' THEN 'Duplicate transaction_id'
            WHEN 'missing_identity' THEN 'Missing click_id, ref_id and email'
            WHEN 'unknown_conversion_type' THEN 'Unknown conversion_type'
            ELSE fault_message
        END AS message,
        duplicate_of, duplicate_kind, account_id, integration, received_at, line AS raw, http_method, http_status
    FROM judged
    LEFT JOIN (SELECT *, 'duplicate_transaction' AS reason FROM duplicates) AS d USING (record_no)
    JOIN lines ON lines.rowid = record_no - 1
    WHERE len(reasons) > 0 OR d.reason IS NOT NULL
) TO '{out}/rejections.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);
