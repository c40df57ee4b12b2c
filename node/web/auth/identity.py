"""Who somebody is on the web, and what that lets them do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Via = Literal["session", "token", "oidc", "loopback"]
"""How a person was recognised: own login, API token, login at an OpenID provider, or the node
listens on the loopback only and has no users."""


class Role(StrEnum):
    """What a person may do; each role includes those before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, other: Role) -> bool:
        """Say whether this role includes another."""
        order = tuple(Role)
        return order.index(self) >= order.index(other)


class Scope(StrEnum):
    """What an API token may do: nothing but what its scopes name; `admin` is everything."""

    READ = "read"
    STOW = "stow"
    OUTCOMES = "outcomes"
    METRICS = "metrics"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was recognised: a person, or a program that holds a token.

    Attributes:
        name: The user's or the token's name.
        role: What a user may do; for a token the highest that its scopes stand for.
        via: How they were recognised.
        scopes: A token's scopes; empty for everybody else.
        csrf: What a page of this session sends back with every change; "" without a session.
    """

    name: str
    role: Role
    via: Via
    scopes: frozenset[Scope] = frozenset()
    csrf: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a person has a name")
        if (self.via == "token") != bool(self.scopes):
            raise ValueError("a token has scopes, and nobody else")

    @property
    def actor(self) -> str:
        """How the ledger calls them."""
        return f"person:{'token/' if self.via == 'token' else ''}{self.name}"

    def may(self, role: Role) -> bool:
        """Say whether a page offers them what this role may do."""
        return self.role.covers(role)


LOCAL = Person("local", Role.ADMIN, "loopback")
"""Everybody, where the node has no users and only this machine reaches it."""
