"""Login at an OpenID provider: authorization code with PKCE (OpenID Connect Core 1.0, RFC 7636)."""

from __future__ import annotations

import base64
import hashlib
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from node.config import OidcSettings
from node.errors import AccessError, ConfigurationError
from node.web.auth.identity import Role

# Signed with the provider's private key: what our own client secret could sign proves nothing of
# the provider, and "none" nothing at all.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384")
_TIMEOUT_S: Final = 10.0
_DISCOVERED_S: Final = 3600.0
_LEEWAY_S: Final = 60
_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Claimed:
    """Whom the provider says a person is."""

    name: str
    role: Role


@dataclass
class Provider:
    """One OpenID provider; `redirect_uri` is where it sends people back."""

    settings: OidcSettings
    redirect_uri: str
    _described: dict[str, Any] = field(default_factory=dict)
    _described_at: float = 0.0
    _keys: KeySet | None = None

    def authorization_url(self, state: str, nonce: str, verifier: str) -> str:
        """Return where to send the browser.

        Raises:
            AccessError: The provider does not answer, or is not the one that is configured.
        """
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        endpoint = str(self._description()["authorization_endpoint"])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    def person(self, answer: Mapping[str, str], nonce: str, verifier: str) -> Claimed:
        """Exchange the code that the browser brought back; return whom it stands for.

        Args:
            answer: The parameters of the authorization response; the state was compared before.
            nonce: What the ID token must carry.
            verifier: What proves that the code is ours.

        Raises:
            AccessError: The provider refused, or what it says does not hold, or gives no role.
        """
        if "error" in answer:
            raise AccessError(f"the provider says {answer['error'][:80]}")
        about = self._description()
        # RFC 9207: the answer may not come from another provider.
        says_issuer = about.get("authorization_response_iss_parameter_supported") is True
        if says_issuer and answer.get("iss") != about["issuer"]:
            raise AccessError("the answer comes from another provider")
        tokens = self._exchange(answer.get("code", ""), verifier)
        claims = self._verified(str(tokens.get("id_token", "")), nonce)
        if self._lacks(claims) and "userinfo_endpoint" in about:
            claims = {**self._userinfo(str(tokens.get("access_token", "")), claims), **claims}
        return Claimed(self._name(claims), self._role(claims))

    def _description(self) -> dict[str, Any]:
        """Return the provider's own description (OpenID Connect Discovery 1.0), asked hourly."""
        now = time.monotonic()
        if not self._described or now - self._described_at > _DISCOVERED_S:
            issuer = self.settings.issuer
            found = self._json("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if str(found.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
                raise AccessError("the provider calls itself another issuer than oidc.issuer")
            for needed in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if needed not in found:
                    raise AccessError(f"the provider names no {needed}")
            self._described, self._described_at, self._keys = found, now, None
        return self._described

    def _exchange(self, code: str, verifier: str) -> dict[str, Any]:
        sent = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": self.settings.client_id,
            "code_verifier": verifier,
        }
        secret = self._secret()
        auth = httpx.BasicAuth(self.settings.client_id, secret) if secret else None
        return self._json("POST", self._description()["token_endpoint"], data=sent, auth=auth)

    def _verified(self, token: str, nonce: str) -> dict[str, Any]:
        """Return the claims of an ID token that holds (OpenID Connect Core 3.1.3.7)."""
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self._description()["issuer"]},
            aud={"essential": True, "value": self.settings.client_id},
            nonce={"essential": True, "value": nonce},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            try:
                found = jwt.decode(token, self._key_set(), algorithms=_ALGORITHMS)
            except InvalidKeyIdError:  # the provider has new keys
                self._keys = None
                found = jwt.decode(token, self._key_set(), algorithms=_ALGORITHMS)
            registry.validate(found.claims)
        except (JoseError, ValueError) as error:
            raise AccessError(f"the ID token does not hold ({type(error).__name__})") from error
        several = isinstance(found.claims["aud"], list) and len(found.claims["aud"]) > 1
        if (several or "azp" in found.claims) and found.claims.get("azp") != (
            self.settings.client_id
        ):
            raise AccessError("the ID token was made for another client")
        return dict(found.claims)

    def _key_set(self) -> KeySet:
        if self._keys is None:
            found = self._json("GET", self._description()["jwks_uri"])
            self._keys = KeySet.import_key_set({"keys": list(found.get("keys", []))})
        return self._keys

    def _userinfo(self, access_token: str, claims: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the provider says beside the ID token, if it is about the same person."""
        headers = {"Authorization": f"Bearer {access_token}"}
        found = self._json("GET", self._description()["userinfo_endpoint"], headers=headers)
        if found.get("sub") != claims["sub"]:
            raise AccessError("the provider speaks of two persons")
        return found

    def _lacks(self, claims: Mapping[str, Any]) -> bool:
        wanted = (self.settings.name_claim, self.settings.role_claim)
        return any(value_at(claims, path) is None for path in wanted)

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = str(value_at(claims, self.settings.name_claim) or "").strip()
        if not name or len(name) > _NAME or not name.isprintable() or "/" in name:
            raise AccessError(f"the claim {self.settings.name_claim} gives no name")
        return name

    def _role(self, claims: Mapping[str, Any]) -> Role:
        has = set(words_of(value_at(claims, self.settings.role_claim)))
        for role, values in (
            (Role.ADMIN, self.settings.admins),
            (Role.OPERATOR, self.settings.operators),
            (Role.VIEWER, self.settings.viewers),
        ):
            if has & set(values):
                return role
        raise AccessError(f"the claim {self.settings.role_claim} gives no role here")

    def _secret(self) -> str:
        path = self.settings.client_secret_file
        if path is None:
            return ""
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(f"oidc.client_secret_file: {error}") from error

    def _json(self, method: str, url: str, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx
        try:
            # Neither a proxy of the environment nor a redirect: the provider is the one named.
            with httpx.Client(verify=self._tls(), timeout=_TIMEOUT_S, trust_env=False) as client:
                answer = client.request(method, url, **asked)
                answer.raise_for_status()
                found = answer.json()
        except httpx.HTTPStatusError as error:
            raise AccessError(f"the provider answers {error.response.status_code}") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise AccessError(f"the provider does not answer ({type(error).__name__})") from error
        if not isinstance(found, dict):
            raise AccessError("the provider answers something else than JSON objects")
        return found

    def _tls(self) -> ssl.SSLContext:
        ca = self.settings.ca
        return ssl.create_default_context(cafile=None if ca is None else str(ca))


def value_at(claims: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - JSON
    """Return the claim at a path; dots step into objects; None where there is none."""
    if path in claims:  # a name may hold dots itself, as URLs do
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def words_of(value: object) -> Iterable[str]:
    """Return the values of a claim that is a list, or words with a space between."""
    if isinstance(value, str):
        return value.split()
    return [str(one) for one in value] if isinstance(value, list) else []
