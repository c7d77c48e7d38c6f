-- The hashes of personal traits: normal forms, then SHA-256, once for each distinct text but of e-mail addresses. A text
-- that is a digest itself stays as it is.
CREATE MACRO digest(sent, form) AS CASE
    WHEN length(trim(sent)) IN (32, 64) AND regexp_full_match(trim(sent), '[0-9a-fA-F]+') THEN lower(trim(sent))
    WHEN form != '' THEN sha256(form) END;
CREATE MACRO email_form(sent) AS CASE
    WHEN regexp_full_match(sent, '\s*\S+@[^@\s]+\s*') THEN lower(trim(sent)) END;
CREATE MACRO is_google(form) AS ends_with(form, '@gmail.com') OR ends_with(form, '@googlemail.com');
CREATE MACRO google_form(form) AS
    replace(regexp_extract(form, '^([^+@]*)', 1), '.', '') || regexp_extract(form, '(@g.*)$', 1);
CREATE MACRO without_trunk(sent) AS CASE
    WHEN regexp_matches(sent, '^(?:\+|00)39[-. ]') THEN sent
    ELSE regexp_replace(sent, '^(\+|00)([1-9][0-9]{0,2})[-. ]0+([1-9])', '\1\2\3') END;
CREATE MACRO phone_form(sent) AS CASE
    WHEN regexp_matches(sent, '^(?:[^0-9]*[0-9]){7}')
        THEN ltrim(regexp_replace(without_trunk(trim(sent)), '[^0-9]', '', 'g'), '0') END;
CREATE MACRO name_form(sent) AS trim(regexp_replace(lower(sent), '\pP', '', 'g'));
CREATE MACRO birthdate_form(sent) AS strftime(
    try_cast(regexp_replace(trim(sent), '^(\d{4})[-/]?(\d{2})[-/]?(\d{2})$', '\1-\2-\3') AS DATE), '%Y%m%d');
CREATE MACRO city_form(sent) AS regexp_replace(lower(sent), '[\pP\s]', '', 'g');
CREATE MACRO zip_form(sent) AS regexp_replace(lower(sent), '[\s-]', '', 'g');
CREATE MACRO country_form(sent) AS
    coalesce({country_codes}[list_position({country_names}, lower(trim(sent)))], lower(trim(sent)));
CREATE MACRO state_form(form) AS coalesce({us_state_codes}[list_position({us_state_names}, form)], form);

CREATE TEMP TABLE name_hashes AS
SELECT sent, digest(sent, name_form(sent)) AS hash
FROM (SELECT first_name AS sent FROM judged UNION SELECT last_name FROM judged);
CREATE TEMP TABLE phone_hashes AS
SELECT sent, digest(sent, phone_form(sent)) AS hash, digest(sent, '+' || nullif(phone_form(sent), '')) AS e164
FROM (SELECT DISTINCT phone AS sent FROM judged);
CREATE TEMP TABLE birthdate_hashes AS
SELECT sent, digest(sent, birthdate_form(sent)) AS hash FROM (SELECT DISTINCT birthdate AS sent FROM judged);
CREATE TEMP TABLE place_hashes AS
SELECT
    row(city, state, zipcode, country) AS place, country_form(country) = 'us' AS is_us,
    digest(city, city_form(city)) AS city_sha256,
    digest(state, CASE WHEN is_us THEN state_form(city_form(state)) ELSE city_form(state) END) AS state_sha256,
    digest(zipcode, CASE WHEN is_us THEN left(zip_form(zipcode), 5) ELSE zip_form(zipcode) END) AS zipcode_sha256,
    digest(country, country_form(country)) AS country_sha256
FROM (SELECT DISTINCT city, state, zipcode, country FROM judged);
