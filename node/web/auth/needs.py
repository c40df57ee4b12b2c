"""What a route needs: declared beside it as a dependency, read by the gate, tested as a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import HTTPException, Request

from node.web.auth.identity import Person, Role, Scope

_SCOPE_OF = {Role.VIEWER: Scope.READ, Role.OPERATOR: Scope.ADMIN, Role.ADMIN: Scope.ADMIN}


@dataclass(frozen=True)
class Need:
    """A route's need; as a dependency it gives the Person, whom the gate has let in.

    Attributes:
        role: The least role of a person; None admits everybody, also unknown.
        scopes: Any of these opens the route to a token.
    """

    role: Role | None
    scopes: frozenset[Scope] = field(default=frozenset())

    def admits(self, person: Person | None) -> bool:
        """Say whether somebody may pass."""
        if self.role is None:
            return True
        if person is None:
            return False
        if person.via == "token":
            return bool(self.scopes & person.scopes)
        return person.role.covers(self.role)

    def __call__(self, request: Request) -> Person:
        """Return who was let in.

        Raises:
            HTTPException: 403 where the gate did not let them in: it stands before every route, so
                this means that the application was put together without it.
        """
        person = known(request)
        if person is None or not self.admits(person):
            raise HTTPException(403, "the gate did not let this request in")
        return person


def needs(role: Role, scope: Scope | None = None) -> Need:
    """Declare that a route needs a role: `person: Person = Depends(needs(Role.VIEWER))`.

    Args:
        role: The least role of a person.
        scope: The token scope that opens the route too; without it `read` opens what a viewer may
            see, and only `admin` anything else.
    """
    return Need(role, frozenset({scope or _SCOPE_OF[role], Scope.ADMIN}))


class _Public(Need):
    """Everybody may; gives the Person where one is known."""

    def __call__(self, request: Request) -> Person | None:  # type: ignore[override]
        return known(request)


PUBLIC = _Public(None)
"""Declares that a route is for everybody: `Depends(PUBLIC)` gives `Person | None`."""


def known(request: Request) -> Person | None:
    """Return whom the gate recognised, None for an unknown person."""
    person: Person | None = getattr(request.state, "person", None)
    return person
