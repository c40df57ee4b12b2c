"""Which images a bundle was trained on, without naming them: salted hashes of their UIDs.

An evaluation on images that were trained on flatters the model. The hashes let it say so, and
give no UID away to whoever does not have the image already. Patient identifiers are not kept:
there are too few of them for a hash to hide one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from models.bundles.errors import BundleSchemaError

SEEN = "training.json"


@dataclass(frozen=True, slots=True)
class TrainingImages:
    """The assessed images of the training cases.

    Attributes:
        salt: Of this bundle, hexadecimal, so that two bundles' hashes cannot be compared.
        hashes: Of each SOP Instance UID.
    """

    salt: str
    hashes: frozenset[str]

    @classmethod
    def of(cls, uids: Iterable[str]) -> TrainingImages:
        """Hash SOP Instance UIDs; the salt follows from all of them, so that a run repeats."""
        known = sorted(set(uids))
        salt = hashlib.sha256("\0".join(known).encode()).hexdigest()
        return cls(salt, frozenset(_hash(salt, uid) for uid in known))

    def __contains__(self, uid: object) -> bool:
        return isinstance(uid, str) and _hash(self.salt, uid) in self.hashes

    def to_json(self) -> str:
        """Return the content of `training.json`."""
        return json.dumps({"salt": self.salt, "images": sorted(self.hashes)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: bytes) -> TrainingImages:
        """Read what `to_json` wrote.

        Raises:
            BundleSchemaError: It is no such list.
        """
        try:
            data = json.loads(text)
            return cls(str(data["salt"]), frozenset(map(str, data["images"])))
        except (ValueError, KeyError, TypeError) as error:
            raise BundleSchemaError(f"{SEEN} is no list of training images: {error}") from error


def _hash(salt: str, uid: str) -> str:
    return hashlib.sha256(f"{salt}\0{uid}".encode()).hexdigest()
