"""Reads the file of offices; every mistake is named with its place.

An office's entry is translated into the variables that an installation for one office reads, so that every value is
checked in one place.
"""

import os
import re
import tomllib
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from powerca_sync.errors import ConfigurationError
from powerca_sync.offices.entries import MOBILE_PASSWORD, Office, Offices, Secret, nearest
from powerca_sync.operations import CRON_FORM, FULL_CRON, INCREMENTAL_CRON, OFFICE, TIMEZONE, Schedules
from powerca_sync.settings import TABLES_AT_ONCE, Settings

#: Keys of an entry, with the variable of an installation for one office that each stands for.
_CONNECTION: Final = {key: key.upper() for key in ("host", "port", "name", "user", "sslmode", "sslrootcert")}
_DESKTOP: Final = {key: f"LOCAL_DB_{suffix}" for key, suffix in _CONNECTION.items()}
_MOBILE: Final = {key: f"SUPABASE_DB_{suffix}" for key, suffix in _CONNECTION.items()}
_COMMON: Final = {
    "timezone": TIMEZONE,
    "full_cron": FULL_CRON,
    "incremental_cron": INCREMENTAL_CRON,
    "desktop_timezone": "LOCAL_DB_TIMEZONE",
    "desktop_encoding": "LOCAL_DB_ENCODING",
    "mass_delete_share": "POWERCA_MASS_DELETE_SHARE",
    "mass_delete_rows": "POWERCA_MASS_DELETE_ROWS",
    "quarantine_share": "POWERCA_QUARANTINE_SHARE",
    "quarantine_rows": "POWERCA_QUARANTINE_ROWS",
    "tables_at_once": TABLES_AT_ONCE,
}
#: The lowest and the highest number of each field of a cron string.
_CRON_LIMITS: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_SECRETS: Final = ("password_file", "password_env")
#: Key of a list of addresses.
ALERT: Final = "alert"
OFFICE_KEYS: Final = {"mobile", "title", ALERT, *_SECRETS, *_DESKTOP, *_COMMON}
MOBILE_KEYS: Final = {*_SECRETS, *_MOBILE}
#: What differs in every office has no default.
DEFAULT_KEYS: Final = {"mobile", *_DESKTOP, *_COMMON} - {"host"}


def load(path: Path) -> Offices:
    """Reads the file.

    Raises `ConfigurationError` if nothing in it can be used: it cannot be read, is not TOML, or names no office.
    """
    content = _parse(path)
    for name in content:
        if name not in ("defaults", "mobile", "office"):
            raise ConfigurationError(f"`{path}`: unknown table [{name}].{nearest(name, ('mobile', 'office'))}")
    entries = _tables(content.get("office"), path, "office")
    if not entries:
        raise ConfigurationError(f"`{path}` names no office. Add a table such as [office.main].")
    defaults = content.get("defaults", {})
    _check_keys(defaults, DEFAULT_KEYS, f"[defaults] in `{path}`")
    mobiles = _tables(content.get("mobile"), path, "mobile")
    offices, broken = {}, {}
    for key, entry in entries.items():
        try:
            offices[key] = _office(key, entry, defaults=defaults, mobiles=mobiles, path=path)
        except ConfigurationError as exc:
            broken[key] = str(exc)
    for key, others in _sharing_a_desktop(offices).items():
        broken[key] = (
            f"[office.{key}] in `{path}` has the same desktop database as {', '.join(others)} "
            f"({offices.pop(key).checked.desktop}). Correct the address of one, or remove it."
        )
    return Offices(path=path, offices=offices, broken=broken)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise ConfigurationError(f"`{path}` cannot be read: {exc.strerror}. Correct it or POWERCA_OFFICES.") from exc
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigurationError(f"`{path}` is not a TOML file in UTF-8: {exc}.") from exc


def _tables(content: Any, path: Path, name: str) -> dict[str, Any]:
    if content is not None and not isinstance(content, dict):
        raise ConfigurationError(f"`{path}`: `{name}` is not a table. Write [{name}.NAME] for each.")
    return content or {}


def _office(key: str, entry: Any, *, defaults: Mapping[str, Any], mobiles: Mapping[str, Any], path: Path) -> Office:
    place = f"[office.{key}] in `{path}`"
    if not re.fullmatch(r"[a-z0-9_-]{1,40}", key):
        raise ConfigurationError(
            f"{place}: `{key}` is not a key of an office. Use up to 40 small letters, digits, `_` and `-`."
        )
    _check_keys(entry, OFFICE_KEYS, place)
    own = {**defaults, **entry}
    mobile = _mobile_of(own, mobiles, place)
    mobile_place = f"[mobile.{mobile}] in `{path}`"
    _check_keys(mobiles[mobile], MOBILE_KEYS, mobile_place)
    for table, its_place in ((own, place), (mobiles[mobile], mobile_place)):
        if not table.get("host"):
            raise ConfigurationError(f"{its_place} has no `host`. Add the address of the database server.")
    title = str(own.get("title") or key)
    given = {
        **_variables(own, {**_DESKTOP, **_COMMON}, place, path.parent),
        **_variables(mobiles[mobile], _MOBILE, mobile_place, path.parent),
        OFFICE: (title, f"`title` of {place}"),
    }
    secrets = {
        "LOCAL_DB_PASSWORD": _secret(entry, place, path.parent),
        MOBILE_PASSWORD: _secret(mobiles[mobile], mobile_place, path.parent),
    }
    variables = {variable: text for variable, (text, _) in given.items()}
    try:
        checked = Settings.from_env({**variables, **dict.fromkeys(secrets, "-")}, env_file=None)
        timezone = Schedules.from_env(variables, env_file=None).timezone
        crons = {name: text.strip() for name, text in variables.items() if name.endswith("_CRON")}
        for name, cron in crons.items():
            _check_cron(name, cron)
    except ConfigurationError as exc:
        words = re.sub(r"\b[A-Z]+_[A-Z_]+\b", lambda found: given.get(found[0], ("", found[0]))[1], str(exc))
        raise ConfigurationError(words) from exc
    return Office(
        key=key,
        title=title,
        mobile=mobile,
        timezone=timezone,
        crons=crons,
        alert=tuple(entry.get(ALERT, ())),
        checked=checked,
        variables=variables,
        secrets=secrets,
    )


def _mobile_of(own: Mapping[str, Any], mobiles: Mapping[str, Any], place: str) -> str:
    if "mobile" not in own and len(mobiles) == 1:
        return next(iter(mobiles))
    mobile = own.get("mobile")
    if mobile not in mobiles:
        named = f"names the mobile database `{mobile}`, which" if mobile else "names no `mobile`, and one"
        raise ConfigurationError(f"{place} {named} has no table. Known: {', '.join(mobiles) or 'none'}.")
    return str(mobile)


def _check_keys(entry: Any, known: Collection[str], place: str) -> None:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{place} is not a table.")
    if "password" in entry:
        raise ConfigurationError(
            f"{place} has a `password`, which does not belong into this file. Put it into a file of its own and name "
            "that with `password_file`, or name a variable with `password_env`."
        )
    for key, value in entry.items():
        if key not in known:
            raise ConfigurationError(f"{place}: unknown key `{key}`.{nearest(key, known)}")
        if key == ALERT:
            if not isinstance(value, list) or not all(isinstance(url, str) and url for url in value):
                raise ConfigurationError(f'{place}: `{key}` is not a list of addresses, such as ["mailto://..."].')
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ConfigurationError(f"{place}: `{key}` is neither a text nor a number.")


def _check_cron(name: str, cron: str) -> None:
    """Raises `ConfigurationError` if a text is not a cron string of five fields; an empty text is allowed."""
    fields = cron.split()
    numbers = [
        low <= int(number) <= high
        for field, (low, high) in zip(fields, _CRON_LIMITS, strict=False)
        for number in re.findall(r"(?<![/\d])\d+", field)
    ]
    is_valid = len(fields) == len(_CRON_LIMITS) and all(numbers) and re.fullmatch(r"[\d*/,a-zA-Z -]+", cron)
    if cron and not is_valid:
        raise ConfigurationError(f"{name} is `{cron}`, which is not a valid cron string. {CRON_FORM}.")


def _variables(
    entry: Mapping[str, Any], names: Mapping[str, str], place: str, folder: Path
) -> Mapping[str, tuple[str, str]]:
    """Returns the variables of an entry, each with its text and its place."""
    found = {}
    for key in names.keys() & entry.keys():
        text = str(entry[key])
        if key == "sslrootcert" and text not in ("", "system"):
            text = os.fspath(folder / text)
        found[names[key]] = (text, f"`{key}` of {place}")
    return found


def _secret(entry: Mapping[str, Any], place: str, folder: Path) -> Secret:
    given = [key for key in _SECRETS if entry.get(key)]
    if len(given) != 1:
        has = "both `password_file` and `password_env`" if given else "neither `password_file` nor `password_env`"
        raise ConfigurationError(f"{place} has {has}. Give one of them.")
    value, where = str(entry[given[0]]), f"`{given[0]}` of {place}"
    if given[0] == "password_env":
        return Secret(place=where, variable=value)
    return Secret(place=where, file=folder / value)


def _sharing_a_desktop(offices: Mapping[str, Office]) -> Mapping[str, list[str]]:
    """Returns the offices whose desktop is also that of other offices, with the places of these."""
    by_address = defaultdict(list)
    for key, office in offices.items():
        by_address[str(office.checked.desktop)].append(key)
    return {
        key: [f"[office.{other}]" for other in group if other != key]
        for group in by_address.values()
        if len(group) > 1
        for key in group
    }
