"""Who logs in elsewhere."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from node.config.section import OptionalPath, Section


class OidcSettings(Section):
    """`[oidc]`: login at an OpenID provider (authorization code with PKCE); no issuer, none.

    `client_secret_file` holds the secret alone; without it the node is a public client. A person's
    role is the highest for which `admins`, `operators` or `viewers` names a value of the claim
    `role_claim` (dots step into objects); without one they are refused. `name_claim` is what the
    audit calls them. `ca` proves the provider (empty: the machine's authorities).
    """

    issuer: str = Field("", pattern=r"^(https?://.+)?$")
    client_id: str = ""
    client_secret_file: OptionalPath = None
    scopes: tuple[str, ...] = ("openid", "profile")
    name_claim: str = "preferred_username"
    role_claim: str = "groups"
    admins: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    viewers: tuple[str, ...] = ()
    ca: OptionalPath = None
    label: str = "Single sign-on"

    @model_validator(mode="after")
    def _an_issuer_comes_with_what_it_knows(self) -> Self:
        if bool(self.issuer) != bool(self.client_id):
            raise ValueError("give oidc.issuer and oidc.client_id together")
        if self.issuer and not (self.admins or self.operators or self.viewers):
            raise ValueError("oidc: name claim values in admins, operators or viewers")
        if "openid" not in self.scopes:
            raise ValueError('oidc.scopes must hold "openid"')
        return self
