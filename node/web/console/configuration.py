"""The configuration as the node understood it; what is secret is never shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr
from sqlalchemy.engine import make_url

from node.config import Settings

# Parts of a key's name that say that its value is nobody's business.
_SECRET: Final = ("secret", "password", "token", "passphrase")
# Addresses that may carry a secret in their path or query; the host is enough to know them by.
_ADDRESS: Final = ("webhook",)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key; `changed`: it differs from the default."""

    key: str
    value: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Section:
    """One section of node.toml."""

    name: str
    about: str
    settings: tuple[Setting, ...]


def sections(settings: Settings) -> tuple[Section, ...]:
    """Return every section, in the order of node.toml."""
    found = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        parts = value if isinstance(value, tuple) else (value,)
        for number, part in enumerate(parts, start=1):
            if isinstance(part, BaseModel):
                title = f"[[{name}]] {number}" if isinstance(value, tuple) else f"[{name}]"
                found.append(Section(title, _about(part), tuple(_settings(part))))
    return tuple(found)


def _about(part: BaseModel) -> str:
    lines = (type(part).__doc__ or "").strip().splitlines()
    about = lines[0].partition(": ")[2].rstrip(".") if lines else ""
    return about[:1].upper() + about[1:]


def _settings(part: BaseModel) -> Iterator[Setting]:
    for key, field in type(part).model_fields.items():
        value = getattr(part, key)
        default = field.get_default(call_default_factory=True, validated_data={})
        yield Setting(key, shown(key, value), value != default)


def shown(key: str, value: Any) -> str:  # noqa: ANN401 - of any setting
    """Return a value as the page shows it."""
    if value is None or value in ("", ()):
        return "not set"
    if isinstance(value, SecretStr) or any(word in key for word in _SECRET):
        return "set, not shown"
    if key in _ADDRESS:
        return f"{urlsplit(str(value)).scheme}://{urlsplit(str(value)).hostname}/…"
    if key == "url" and "://" in str(value):
        return _without_password(str(value))
    return _plain(value)


def _plain(value: Any) -> str:  # noqa: ANN401 - of any setting
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list | set | frozenset):
        return ", ".join(str(one) for one in value)
    return str(value)


def _without_password(url: str) -> str:
    if url.startswith(("http://", "https://")):
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{host}{port}{parts.path}"
    return make_url(url).render_as_string(hide_password=True)
