-- Requests to the four tables. Every name becomes a code, in which the aliases of a field follow one another in the order
-- of the page; the winner of a field is then a search in a short array of bytes. Missing texts are empty until written.
CREATE FUNCTION fold AS name -> replaceAll(replaceAll(lower(name), '_', ''), '-', '');
CREATE FUNCTION either AS (a, b) -> if(a > 0, a, b);
CREATE FUNCTION place_1 AS (codes, code) -> indexOf(codes, code);
CREATE FUNCTION place_2 AS (codes, code) -> either(indexOf(codes, code), indexOf(codes, code + 1));
CREATE FUNCTION place_3 AS (codes, code) -> either(place_2(codes, code), indexOf(codes, code + 2));
CREATE FUNCTION place_5 AS (codes, code) -> either(place_3(codes, code), place_2(codes, code + 3));
CREATE FUNCTION place_7 AS (codes, code) -> either(place_5(codes, code), place_2(codes, code + 5));
CREATE FUNCTION amount AS text -> toDecimal128OrNull(trimBoth(text), 9);

CREATE TABLE judged ENGINE = Memory AS
WITH
    arrayMap(
        (name, text) -> if(
            empty(trimBoth(text)), 0,
            transform(
                name,
                ['conversion_type', 'first_name', 'firstName', 'last_name', 'lastName', 'full_name', 'fullName', 'name',
                 'phone', 'birthdate', 'city', 'state', 'zipcode', 'country'],
                [100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113]::Array(UInt8),
                transform(
                    fold(name),
                    ['clickid', 'click', 'refid', 'ref', 'email',
                     'value', 'commission', 'amount', 'revenue', 'total', 'totalvalue', 'eventvalue',
                     'currency', 'cur', 'curr', 'eventname', 'event', 'transactionid', 'transaction', 'brandname', 'brand',
                     'timestamp', 'time', 'date', 'datetime', 'createdat', 'items', 'lineitems', 'products'],
                    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
                     27, 28, 29]::Array(UInt8),
                    if(startsWith(name, 'xat_') AND length(name) > 4, 200, 0)::UInt8)))::UInt8,
        names, texts) AS codes,
    place_2(codes, 1) AS click_place, place_2(codes, 3) AS ref_place, place_1(codes, 5) AS email_place,
    multiIf(click_place > 0, click_place, ref_place > 0, ref_place, email_place) AS match_place,
    place_7(codes, 6) AS value_place,
    texts[place_3(codes, 13)] AS sent_currency,
    trimBoth(sent_currency) AS currency_code,
    trimBoth(texts[place_2(codes, 16)]) AS event_name,
    has(codes, 7) AND arrayExists((code, text) -> code = 7 AND amount(text) > 0, codes, texts) AS has_commission,
    trimBoth(texts[place_5(codes, 22)]) AS stamp,
    if(match(stamp, '^[0-9]{9,10}([.][0-9]+)?$'), toDecimal128OrNull(stamp, 6), NULL) AS seconds,
    if(seconds BETWEEN 946684800 AND 4102444800, toDateTime64(seconds, 6, 'UTC'), NULL) AS sent_at,
    texts[place_2(codes, 101)] AS sent_first, texts[place_2(codes, 103)] AS sent_last,
    sent_first != '' OR sent_last != '' AS has_parts,
    if(has_parts, '', texts[place_3(codes, 105)]) AS full_name,
    splitByWhitespace(full_name) AS words,
    countSubstrings(full_name, ',') = 1 AS has_comma,
    arrayFirst(
        text -> JSONLength(text) > 0,
        arrayFilter(text -> text != '', [texts[indexOf(codes, 27)], texts[indexOf(codes, 28)], texts[indexOf(codes, 29)]])
    ) AS items_text,
    arrayFilter((name, code) -> code = 200, names, codes) AS sent_passthroughs
SELECT
    record_no, fault, fault_message, account_id, integration, received_at,
    coalesce(sent_at, received_at) AS occurred_at,
    if(isNull(sent_at), 'received', 'parameter') AS occurred_at_rule,
    multiIf(click_place > 0, 'click_id', ref_place > 0, 'ref_id', email_place > 0, 'email', '') AS match_type,
    texts[match_place] AS match_key, names[match_place] AS match_param,
    texts[click_place] AS click_id, texts[ref_place] AS ref_id,
    multiIf(
        event_name != '', event_name,
        conversion_type != '', transform(
            lower(conversion_type),
            ['click', 'outbound_click', 'outboundclick', 'form_submit', 'formsubmit', 'lead', 'cpl', 'registration',
             'complete_registration', 'completeregistration', 'acquisition', 'cpa', 'purchase', 'sale', 'cps'],
            ['OutboundClick', 'OutboundClick', 'OutboundClick', 'FormSubmit', 'FormSubmit', 'Lead', 'Lead',
             'CompleteRegistration', 'CompleteRegistration', 'CompleteRegistration', 'CompleteRegistration',
             'CompleteRegistration', 'Purchase', 'Purchase', 'Purchase'], ''),
        has_commission, 'Purchase', 'Lead') AS event,
    multiIf(
        event_name != '', 'event_name', conversion_type != '', 'conversion_type',
        has_commission, 'automatic_commission', 'automatic_lead') AS event_rule,
    texts[place_1(codes, 100)] AS conversion_type,
    amount(texts[value_place]) AS value, names[value_place] AS value_param,
    if(match(currency_code, '^[A-Za-z]{3}$'), upper(currency_code), sent_currency) AS currency,
    sent_currency = '' AS currency_defaulted,
    texts[place_2(codes, 18)] AS transaction_id, texts[place_2(codes, 20)] AS brand_name,
    if(email_place > 0, texts[arrayFirstIndex((name, code) -> name = 'email' AND code > 0, names, codes)], '') AS email,
    texts[place_1(codes, 108)] AS phone,
    multiIf(
        has_parts, sent_first, has_comma, arrayStringConcat(splitByWhitespace(splitByChar(',', full_name)[2]), ' '),
        words[1]) AS first_name,
    multiIf(
        has_parts, sent_last, has_comma, arrayStringConcat(splitByWhitespace(splitByChar(',', full_name)[1]), ' '),
        arrayStringConcat(arraySlice(words, 2), ' ')) AS last_name,
    texts[place_1(codes, 109)] AS birthdate, texts[place_1(codes, 110)] AS city, texts[place_1(codes, 111)] AS state,
    texts[place_1(codes, 112)] AS zipcode, texts[place_1(codes, 113)] AS country,
    multiIf(has_parts, 'parts', first_name != '' OR last_name != '', 'full_name', '') AS name_rule,
    if(startsWith(items_text, '{'), [items_text], JSONExtractArrayRaw(items_text)) AS elements,
    sent_passthroughs AS passthrough_names,
    arrayFilter((text, code) -> code = 200, texts, codes) AS passthrough_texts,
    http_method, http_status, client_ip, user_agent, raw,
    arrayFilter(
        reason -> reason != '',
        if(fault != '', [fault],
            [if(match_place = 0, 'missing_identity', ''), if(event = '', 'unknown_conversion_type', '')])) AS reasons
FROM requests;

-- Only keys whose hash occurs twice are compared as a whole.
CREATE TABLE repeated ENGINE = Memory AS
WITH
    trimBoth(transaction_id) AS transaction_key,
    sipHash128(account_id, integration, event, transaction_key) AS hash
SELECT hash FROM judged
WHERE empty(reasons) AND transaction_key != ''
GROUP BY hash HAVING count() > 1;

CREATE TABLE duplicates ENGINE = Memory AS
WITH
    trimBoth(transaction_id) AS transaction_key,
    lower(transaction_key) IN ('null', 'undefined', 'none', 'nil', 'nan', 'n/a', 'na', '-', '[object object]', '0', 'false', 'unknown') AS is_null_word,
    match(transaction_key,
        '^(?:(?:YOUR_)?(?:CLICK|REF|TRANSACTION|ORDER)_?ID(?:_HERE)?|REPLACE_ME|REPLACE_THIS|CHANGE_?ME|PLACEHOLDER)$') AS is_placeholder_word,
    match(transaction_key, replaceAll(replaceAll(
        '^(?:\\{W\\}|\\{\\{W\\}\\}|\\{\\{\\{W\\}\\}\\}|\\[W\\]|\\[\\[W\\]\\]|\\[\\[\\[W\\]\\]\\]|<W>|<%=W%>|\\$\\{W\\}|%W%|%%W%%|__W__|!W!|!!W!!|!!!W!!!'
        || '|--W--|#W#|##W##|\\*\\|W\\|\\*|\\$\\$W\\$\\$|@@W@@|\\{V|\\{\\{V|\\$\\{V|\\[V|\\[\\[V|<V|V\\}|V\\}\\}|V\\]|V\\]\\]|V>)$',
        'W', ' ?[A-Za-z0-9$_](?: ?[A-Za-z0-9_.|$\\[\\]-])* ?'), 'V', ' ?[A-Za-z0-9$_](?: ?[A-Za-z0-9_.|$-])* ?')) AS is_macro
SELECT
    record_no,
    first_value(record_no) OVER kept AS duplicate_of,
    first_value(tuple(value, currency, match_key)) OVER kept AS kept_facts,
    if(tuple(value, currency, match_key) = kept_facts, 'identical', 'conflicting') AS duplicate_kind
FROM judged
WHERE empty(reasons) AND sipHash128(account_id, integration, event, transaction_key) IN repeated
    AND NOT is_null_word AND NOT is_placeholder_word AND NOT is_macro
WINDOW kept AS (
    PARTITION BY account_id, integration, event, transaction_key ORDER BY received_at ASC NULLS LAST, record_no ASC
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
QUALIFY record_no != duplicate_of;

-- Written:
INSERT INTO FUNCTION file('{out}/conversions.parquet', Parquet)
SELECT
    record_no, nullIf(account_id, '') AS account_id, nullIf(integration, '') AS integration, received_at, occurred_at,
    occurred_at_rule, match_type, match_key, match_param, nullIf(click_id, '') AS click_id, nullIf(ref_id, '') AS ref_id,
    event, event_rule, nullIf(conversion_type, '') AS conversion_type, value, nullIf(value_param, '') AS value_param,
    nullIf(currency, '') AS currency, currency_defaulted::Bool AS currency_defaulted,
    nullIf(transaction_id, '') AS transaction_id, nullIf(brand_name, '') AS brand_name, nullIf(email, '') AS email,
    nullIf(phone, '') AS phone, nullIf(first_name, '') AS first_name, nullIf(last_name, '') AS last_name,
    nullIf(birthdate, '') AS birthdate, nullIf(city, '') AS city, nullIf(state, '') AS state,
    nullIf(zipcode, '') AS zipcode, nullIf(country, '') AS country, nullIf(name_rule, '') AS name_rule,
    arrayCount(element -> startsWith(element, '{'), elements)::Int32 AS item_count,
    arrayUniq(passthrough_names)::Int32 AS passthrough_count, nullIf(http_method, '') AS http_method, http_status,
    nullIf(client_ip, '') AS client_ip, nullIf(user_agent, '') AS user_agent{hashes}
FROM judged
WHERE empty(reasons) AND record_no NOT IN (SELECT record_no FROM duplicates);

INSERT INTO FUNCTION file('{out}/items.parquet', Parquet)
WITH
    JSONExtractKeysAndValues(element, 'String') AS members,
    members.1 AS names, members.2 AS texts,
    arrayMap(
        (name, text) -> if(
            empty(trimBoth(text)), 0,
            transform(
                fold(name),
                ['id', 'productid', 'itemid', 'name', 'title', 'label', 'productname', 'itemname', 'variant', 'variantid',
                 'productvariant', 'itemvariant', 'price', 'productprice', 'itemprice', 'qty', 'quantity',
                 'productquantity', 'itemquantity'],
                [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]::Array(UInt8), 0))::UInt8,
        names, texts) AS codes
SELECT
    record_no, toInt32(place - 1) AS position,
    nullIf(texts[place_3(codes, 1)], '') AS item_id, nullIf(texts[place_5(codes, 4)], '') AS name,
    nullIf(texts[either(place_2(codes, 9), place_2(codes, 11))], '') AS variant,
    amount(texts[place_3(codes, 13)]) AS price,
    amount(texts[either(place_2(codes, 16), place_2(codes, 18))]) AS quantity
FROM judged
ARRAY JOIN elements AS element, arrayEnumerate(elements) AS place
WHERE empty(reasons) AND startsWith(element, '{') AND record_no NOT IN (SELECT record_no FROM duplicates);

INSERT INTO FUNCTION file('{out}/passthroughs.parquet', Parquet)
WITH arrayFilter(i -> indexOf(passthrough_names, passthrough_names[i]) = i, arrayEnumerate(passthrough_names)) AS firsts
SELECT
    record_no, toInt32(nth - 1) AS position, substring(passthrough_names[i], 5) AS name, passthrough_texts[i] AS value,
    (nth <= 5)::Bool AS stored
FROM judged
ARRAY JOIN firsts AS i, arrayEnumerate(firsts) AS nth
WHERE empty(reasons) AND record_no NOT IN (SELECT record_no FROM duplicates);

INSERT INTO FUNCTION file('{out}/rejections.parquet', Parquet)
SELECT
    record_no, if(kind = '', j.reasons[1], 'duplicate_transaction') AS reason,
    if(kind = '', j.reasons, ['duplicate_transaction']) AS reasons,
    multiIf(
        reason = 'duplicate_transaction', 'Duplicate transaction_id',
        reason = 'missing_identity', 'Missing click_id, ref_id and email',
        reason = 'unknown_conversion_type', 'Unknown conversion_type', fault_message) AS message,
    nullIf(kept, 0) AS duplicate_of, nullIf(kind, '') AS duplicate_kind,
    nullIf(account_id, '') AS account_id, nullIf(integration, '') AS integration, received_at, raw,
    nullIf(http_method, '') AS http_method, http_status
FROM judged AS j
LEFT JOIN (SELECT record_no, duplicate_of AS kept, duplicate_kind AS kind FROM duplicates) AS d USING record_no
WHERE notEmpty(j.reasons) OR kind != '';
