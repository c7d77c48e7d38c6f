"""The hashes of personal traits for the plain-Python peer, each distinct text but of e-mail addresses once."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import date
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

HASHED: Final = (
    *("email", "email_google", "phone", "phone_e164", "first_name", "last_name", "birthdate", "city", "state"),
    *("zipcode", "country"),
)
COLUMNS: Final = " ".join(f"{trait}_sha256" for trait in HASHED)
_CODES: Final = json.loads(
    (Path(__file__).parents[2] / "etl" / "privacy" / "countries.json").read_text(encoding="utf-8")
)
_EMAIL: Final = re.compile(r"\S+@[^@\s]+")
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{64}")
_DATE: Final = re.compile(r"(\d{4})[-/]?(\d{2})[-/]?(\d{2})")
_ITALIAN: Final = re.compile(r"(?:\+|00)39[-. ]")
_TRUNK: Final = re.compile(r"(\+|00)([1-9][0-9]{0,2})[-. ]0+([1-9])")


def hashes(person: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """The hashes of one person: (email, phone, first name, last name, birthdate, city, state, zip code, country)."""
    email, phone, first, last, born, *place = person
    mail = _email_hashes(email) if email else (None, None)
    return (*mail, *_phone_hashes(phone), _name_hash(first), _name_hash(last), _birthdate_hash(born), *_places(*place))


def _digest(text: str, form: str | None) -> str | None:
    text = text.strip()
    if _DIGEST.fullmatch(text):
        return text.lower()
    return sha256(form.encode()).hexdigest() if form else None


def _email_hashes(text: str) -> tuple[str | None, str | None]:
    form = text.strip().lower()
    if not _EMAIL.fullmatch(form):
        form = ""
    known = _digest(text, form)
    name, _, host = form.rpartition("@")
    if host not in ("gmail.com", "googlemail.com"):
        return known, known
    return known, _digest(text, f"{name.partition('+')[0].replace('.', '')}@{host}")


@lru_cache(None)
def _phone_hashes(text: str | None) -> tuple[str | None, str | None]:
    if text is None:
        return None, None
    trimmed = text.strip()
    kept = trimmed if _ITALIAN.match(trimmed) else _TRUNK.sub(r"\1\2\3", trimmed, count=1)
    digits = re.sub("[^0-9]", "", kept).lstrip("0") if len(re.findall("[0-9]", text)) > 6 else ""
    return _digest(text, digits), _digest(text, digits and f"+{digits}")


@lru_cache(None)
def _name_hash(text: str | None) -> str | None:
    return None if text is None else _digest(text, _without_punctuation(text).strip())


@lru_cache(None)
def _birthdate_hash(text: str | None) -> str | None:
    found = _DATE.fullmatch(text.strip()) if text else None
    try:
        form = date(*map(int, found.groups())).strftime("%Y%m%d") if found else None
    except ValueError:
        form = None
    return None if text is None else _digest(text, form)


@lru_cache(None)
def _places(city: str | None, state: str | None, zipcode: str | None, country: str | None) -> tuple[str | None, ...]:
    named = (country or "").strip().lower()
    code = _CODES["countries"].get(named, named)
    forms = [_without_punctuation(text or "", is_joined=True) for text in (city, state)]
    zip_form = re.sub(r"[\s-]", "", (zipcode or "").lower())
    if code == "us":
        forms[1] = _CODES["us_states"].get(forms[1], forms[1])
        zip_form = zip_form[:5]
    pairs = zip((city, state, zipcode, country), (*forms, zip_form, code), strict=True)
    return tuple(None if text is None else _digest(text, form) for text, form in pairs)


def _without_punctuation(text: str, *, is_joined: bool = False) -> str:
    return "".join(
        sign
        for sign in text.lower()
        if not unicodedata.category(sign).startswith("P") and not (is_joined and sign.isspace())
    )
