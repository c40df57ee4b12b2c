"""Which storage SOP classes and transfer syntaxes the node accepts (`contexts.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Self

from node.receive.faults import UnsupportedClassError, UnsupportedSyntaxError


@dataclass(frozen=True, slots=True)
class Contexts:
    """The accepted SOP classes and transfer syntaxes, names by UID, in order of preference.

    Every class is accepted in every transfer syntax: what an archive transcoded is kept, and the
    pipeline says whether it can read it.
    """

    storage: Mapping[str, str]
    transfer_syntaxes: Mapping[str, str]

    @classmethod
    def load(cls, *, accept_deflated: bool) -> Self:
        """Read the table that comes with the package.

        Args:
            accept_deflated: Also accept Deflated Explicit VR Little Endian (PS3.5 section A.5).
        """
        table = tomllib.loads((files(__package__) / "contexts.toml").read_text("utf-8"))
        deflated = table["deflated"] if accept_deflated else {}
        return cls(table["storage"], table["transfer_syntax"] | deflated)

    def require(self, sop_class_uid: str, transfer_syntax_uid: str) -> None:
        """Let pass what a presentation context would have let pass.

        Raises:
            UnsupportedClassError: If the SOP class is not accepted.
            UnsupportedSyntaxError: If the transfer syntax is not accepted.
        """
        if sop_class_uid not in self.storage:
            raise UnsupportedClassError(f"SOP class {sop_class_uid} is not accepted")
        if transfer_syntax_uid not in self.transfer_syntaxes:
            raise UnsupportedSyntaxError(f"transfer syntax {transfer_syntax_uid} is not accepted")
