-- The hashes of personal traits: normal forms, then SHA-256, once for each distinct text but of e-mail addresses. A text
-- that is a digest itself stays as it is.
CREATE FUNCTION is_digest AS text -> length(text) IN (32, 64) AND match(text, '^[0-9a-fA-F]+$');
CREATE FUNCTION digest AS (text, form) -> multiIf(
    is_digest(trimBoth(text)), lower(trimBoth(text)), form = '', NULL, lower(hex(SHA256(form))));
CREATE FUNCTION email_form AS text -> if(match(text, '^\\s*\\S+@[^@\\s]+\\s*$'), lowerUTF8(trimBoth(text)), '');
CREATE FUNCTION is_google AS form -> endsWith(form, '@gmail.com') OR endsWith(form, '@googlemail.com');
CREATE FUNCTION google_form AS form -> concat(
    replaceAll(extract(form, '^([^+@]*)'), '.', ''), extract(form, '(@g.*)$'));
CREATE FUNCTION without_trunk AS text -> if(
    match(text, '^(?:\\+|00)39[-. ]'), text,
    replaceRegexpOne(text, '^(\\+|00)([1-9][0-9]{0,2})[-. ]0+([1-9])', '\\1\\2\\3'));
CREATE FUNCTION phone_form AS text -> if(
    match(text, '^(?:[^0-9]*[0-9]){7}'),
    replaceRegexpOne(replaceRegexpAll(without_trunk(trimBoth(text)), '[^0-9]', ''), '^0+', ''), '');
CREATE FUNCTION name_form AS text -> trimBoth(replaceRegexpAll(lowerUTF8(text), '\\pP', ''));
CREATE FUNCTION birthdate_form AS text -> coalesce(formatDateTime(toDate32OrNull(
    replaceRegexpOne(trimBoth(text), '^(\\d{4})[-/]?(\\d{2})[-/]?(\\d{2})$', '\\1-\\2-\\3')), '%Y%m%d'), '');
CREATE FUNCTION city_form AS text -> replaceRegexpAll(lowerUTF8(text), '[\\pP\\s]', '');
CREATE FUNCTION zip_form AS text -> replaceRegexpAll(lowerUTF8(text), '[\\s-]', '');
CREATE FUNCTION country_form AS text -> transform(
    lowerUTF8(trimBoth(text)), {country_names}, {country_codes}, lowerUTF8(trimBoth(text)));
CREATE FUNCTION state_form AS form -> transform(form, {us_state_names}, {us_state_codes}, form);

CREATE TABLE name_hashes ENGINE = Join(ANY, LEFT, text) AS
SELECT text, digest(text, name_form(text)) AS hash
FROM (SELECT first_name AS text FROM judged UNION DISTINCT SELECT last_name FROM judged);

CREATE TABLE phone_hashes ENGINE = Join(ANY, LEFT, text) AS
WITH phone_form(text) AS form
SELECT text, digest(text, form) AS hash, digest(text, if(form = '', '', concat('+', form))) AS e164
FROM (SELECT DISTINCT phone AS text FROM judged);

CREATE TABLE birthdate_hashes ENGINE = Join(ANY, LEFT, text) AS
SELECT text, digest(text, birthdate_form(text)) AS hash FROM (SELECT DISTINCT birthdate AS text FROM judged);

CREATE TABLE city_hashes ENGINE = Join(ANY, LEFT, text) AS
SELECT text, digest(text, city_form(text)) AS hash FROM (SELECT DISTINCT city AS text FROM judged);

CREATE TABLE country_hashes ENGINE = Join(ANY, LEFT, text) AS
SELECT text, digest(text, country_form(text)) AS hash FROM (SELECT DISTINCT country AS text FROM judged);

CREATE TABLE state_hashes ENGINE = Join(ANY, LEFT, text, country) AS
SELECT text, country, digest(text, if(country_form(country) = 'us', state_form(city_form(text)), city_form(text))) AS hash
FROM (SELECT DISTINCT state AS text, country FROM judged);

CREATE TABLE zipcode_hashes ENGINE = Join(ANY, LEFT, text, country) AS
SELECT text, country, digest(text, if(country_form(country) = 'us', left(zip_form(text), 5), zip_form(text))) AS hash
FROM (SELECT DISTINCT zipcode AS text, country FROM judged);
