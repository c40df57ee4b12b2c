"""An authority and what it signs, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers import require


@dataclass(frozen=True)
class Issued:
    """A certificate and its key as PEM files."""

    certificate: Path
    key: Path


def openssl(*arguments: str | Path) -> str:
    """Run openssl and return what it printed."""
    done = subprocess.run(
        [require("openssl"), *map(str, arguments)], check=True, capture_output=True, text=True
    )
    return done.stdout


class Authority:
    """Signs certificates for the loopback into a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self.certificate, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        openssl(
            *(
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                f"/CN={name}",
            ),
            *("-keyout", self._key, "-out", self.certificate),
        )

    def issue(self, name: str, password: str = "") -> Issued:
        """Sign a certificate for a subject; with a password its key is encrypted."""
        request, made = self.folder / f"{name}.csr", self._paths(name)
        hidden = ("-passout", f"pass:{password}") if password else ("-nodes",)
        openssl(
            *("req", "-newkey", "rsa:2048", *hidden, "-subj", f"/O=Hospital/CN={name}"),
            *("-keyout", made.key, "-out", request),
        )
        names = self.folder / "names.txt"
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key),
            *("-CAcreateserial", "-days", "2", "-extfile", names, "-out", made.certificate),
        )
        return made

    def _paths(self, name: str) -> Issued:
        return Issued(self.folder / f"{name}.pem", self.folder / f"{name}.key")
