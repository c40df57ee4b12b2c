"""Which presentation contexts a set of objects needs: no more than those, 128 at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.presentation import PresentationContext, build_context

from node.deliver.package import Outgoing, transfer_syntax_of
from node.errors import DeliveryError

MAXIMUM_CONTEXTS = 128  # odd context IDs up to 255, PS3.8 section 9.3.2.2


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object with the transfer syntax of its file."""

    outgoing: Outgoing
    transfer_syntax: UID

    @property
    def pairs(self) -> tuple[tuple[str, UID], ...]:
        """SOP class and transfer syntax to propose, the file's own first.

        Implicit VR Little Endian is the default that every proposal of an uncompressed object
        has to include (PS3.5 section 10.1).
        """
        own = (self.outgoing.sop_class_uid, self.transfer_syntax)
        if self.transfer_syntax == ExplicitVRLittleEndian:
            return (own, (self.outgoing.sop_class_uid, ImplicitVRLittleEndian))
        return (own,)


@dataclass(frozen=True, slots=True)
class Batch:
    """Objects that fit one association, with the contexts they need together."""

    objects: tuple[Encoded, ...]

    @property
    def contexts(self) -> list[PresentationContext]:
        """One context a pair of SOP class and transfer syntax, so that each is answered alone."""
        pairs = dict.fromkeys(pair for item in self.objects for pair in item.pairs)
        return [build_context(*pair) for pair in pairs]


def encode_all(objects: Sequence[Outgoing]) -> tuple[list[Encoded], dict[str, str]]:
    """Look up the transfer syntaxes.

    Returns:
        The objects whose files can be sent, and the reason for each SOP Instance UID that can
        not.
    """
    encoded, unreadable = [], {}
    for outgoing in objects:
        try:
            encoded.append(Encoded(outgoing, transfer_syntax_of(outgoing)))
        except DeliveryError as error:
            unreadable[outgoing.sop_instance_uid] = str(error)
    return encoded, unreadable


def batches(objects: Sequence[Encoded], reserved: int = 0) -> list[Batch]:
    """Split objects into as few associations as their contexts need, in order.

    Args:
        objects: What is to be sent.
        reserved: Contexts of each association that are needed for something else.
    """
    split: list[list[Encoded]] = []
    pairs: set[tuple[str, UID]] = set()
    for item in objects:
        if not split or len(pairs | set(item.pairs)) > MAXIMUM_CONTEXTS - reserved:
            split.append([])
            pairs = set()
        split[-1].append(item)
        pairs.update(item.pairs)
    return [Batch(tuple(part)) for part in split]
