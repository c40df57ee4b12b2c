"""The audit key in a backup: sealed with a passphrase, or not in it at all.

The key proves that the node wrote the record. Beside the database, in the clear, it would let
whoever finds a backup forge the record unseen; without it nobody can prove the restored record.
So it goes into the backup encrypted (scrypt, RFC 7914, and ChaCha20-Poly1305, RFC 8439), or into
a file that is kept elsewhere.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from node.audit.seal import Sealer
from node.errors import InputError
from node.service.backup.errors import BackupError

_COST, _BLOCK, _LANES = 1 << 15, 8, 1  # scrypt: 32 MiB and about 0.1 s a guess
_SALT_BYTES = _NONCE_BYTES = 12
_ASSOCIATED = b"crdl audit key 1"
_SHORTEST = 12


def read_passphrase(path: Path) -> bytes:
    """Read a passphrase from the first line of a file.

    Raises:
        InputError: It cannot be read or is shorter than twelve characters.
    """
    try:
        text = path.read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise InputError(f"no passphrase can be read from {path}: {error}") from error
    if len(text) < _SHORTEST:
        raise InputError(f"the passphrase in {path} is shorter than {_SHORTEST} characters")
    return text.encode()


def seal_key(sealer: Sealer, passphrase: bytes) -> bytes:
    """Return the key encrypted, as JSON."""
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    cipher = ChaCha20Poly1305(_stretch(passphrase, salt))
    sealed = cipher.encrypt(nonce, sealer.key, _ASSOCIATED)
    parts = {"salt": salt.hex(), "nonce": nonce.hex(), "sealed": sealed.hex()}
    return (json.dumps({"scheme": "scrypt+chacha20-poly1305", **parts}) + "\n").encode()


def open_key(data: bytes, passphrase: bytes) -> Sealer:
    """Return what `seal_key` sealed.

    Raises:
        BackupError: Another passphrase, or a damaged file.
    """
    try:
        parts = json.loads(data)
        salt, nonce, sealed = (bytes.fromhex(parts[name]) for name in ("salt", "nonce", "sealed"))
        cipher = ChaCha20Poly1305(_stretch(passphrase, salt))
        return Sealer(cipher.decrypt(nonce, sealed, _ASSOCIATED))
    except (ValueError, KeyError, TypeError, InvalidTag) as error:
        raise BackupError("the passphrase does not open the audit key of this backup") from error


def write_key(sealer: Sealer, path: Path) -> None:
    """Write the key for its owner only; a file with the same key stays as it is.

    Raises:
        BackupError: The file holds another key, or cannot be written.
    """
    try:
        if path.exists():
            if Sealer.from_file(path).key == sealer.key:
                return
            raise BackupError(f"{path} holds another audit key: move it away first")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(sealer.key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BackupError(f"the audit key cannot be written to {path}: {error}") from error


def _stretch(passphrase: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_COST, r=_BLOCK, p=_LANES).derive(passphrase)
