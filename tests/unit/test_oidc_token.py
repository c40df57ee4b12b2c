"""An ID token holds only if the provider signed it, for us, for this login, and not long ago."""

from __future__ import annotations

import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from node.config import OidcSettings
from node.errors import AccessError
from node.web.auth.identity import Role
from node.web.auth.oidc import Provider, value_at, words_of

ISSUER, CLIENT, NONCE = "https://provider.example", "crdl", "the nonce of this login"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


def a_provider(**oidc: Any) -> Provider:
    settings = OidcSettings(
        issuer=ISSUER, client_id=CLIENT, admins=("admins",), viewers=("readers",), **oidc
    )
    about = {"issuer": ISSUER, "jwks_uri": "", "token_endpoint": "", "authorization_endpoint": ""}
    keys = KeySet.import_key_set({"keys": [KEY.as_dict(private=False)]})
    return Provider(settings, "", about, time.monotonic(), keys)


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    found = {"iss": ISSUER, "aud": CLIENT, "nonce": NONCE, "sub": "1", "iat": now, "exp": now + 300}
    return {key: value for key, value in (found | changed).items() if value is not None}


def signed(said: dict[str, Any], key: Any = KEY, alg: str = "RS256") -> str:
    kid = {} if isinstance(key, OctKey) else {"kid": "one"}
    return jwt.encode({"alg": alg, **kid}, said, key, algorithms=[alg])


def test_a_token_of_the_provider_for_this_login_holds() -> None:
    found = a_provider()._verified(signed(claims(groups=["readers"])), NONCE)
    assert found["groups"] == ["readers"]
    several = claims(aud=[CLIENT, "other"], azp=CLIENT)
    assert a_provider()._verified(signed(several), NONCE)["azp"] == CLIENT


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://other.example"},
        {"aud": "other"},
        {"aud": [CLIENT, "other"]},
        {"azp": "other"},
        {"nonce": "of another login"},
        {"nonce": None},
        {"exp": int(time.time()) - 120},
        {"exp": None},
        {"iat": int(time.time()) + 3600},
        {"sub": None},
    ],
    ids=[
        "issuer",
        "audience",
        "audiences",
        "party",
        "nonce",
        "no-nonce",
        "over",
        "no-end",
        "future",
        "no-subject",
    ],
)
def test_a_token_with_a_claim_that_does_not_fit_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(AccessError, match="ID token"):
        a_provider()._verified(signed(claims(**changed)), NONCE)


def test_a_token_that_somebody_else_signed_is_refused() -> None:
    secret = OctKey.import_key("the client's own secret, which the provider knows too")
    other = RSAKey.generate_key(2048, {"kid": "one"})
    curve = ECKey.generate_key("P-256", {"kid": "one"})
    unsigned = "eyJhbGciOiJub25lIn0." + signed(claims()).split(".")[1] + "."
    forged = [
        signed(claims(), secret, "HS256"),
        signed(claims(), other),
        signed(claims(), curve, "ES256"),
        unsigned,
        "no token",
        "",
    ]
    for token in forged:
        with pytest.raises(AccessError, match="does not hold"):
            a_provider()._verified(token, NONCE)


def test_the_highest_role_counts_and_none_is_refused() -> None:
    provider = a_provider()
    assert provider._role({"groups": ["readers", "admins"]}) is Role.ADMIN
    assert provider._role({"groups": "other readers"}) is Role.VIEWER
    for has in ({}, {"groups": []}, {"groups": {"admins": True}}, {"groups": "administrators"}):
        with pytest.raises(AccessError, match="no role"):
            provider._role(has)


def test_a_claim_is_found_by_its_path() -> None:
    said = {"realm_access": {"roles": ["a"]}, "https://crdl.example/roles": ["b"]}
    assert value_at(said, "realm_access.roles") == ["a"]
    assert value_at(said, "https://crdl.example/roles") == ["b"]
    assert value_at(said, "realm_access.none.deeper") is None
    assert list(words_of(None)) == []


@pytest.mark.parametrize("name", ["", "  ", "a/b", "x" * 65, "a\nb"])
def test_a_name_that_the_record_could_not_hold_is_refused(name: str) -> None:
    with pytest.raises(AccessError, match="no name"):
        a_provider()._name({"preferred_username": name})
