"""Getting images that a case misses from a source: by C-GET, C-MOVE or WADO-RS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from node.config import Settings, SourceSettings
from node.errors import DeliveryError

MOST_INSTANCES = 200
"""That are asked for in one attempt; the rest follows in the next."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Instances of one study that are missing here."""

    study_instance_uid: str
    sop_instance_uids: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.study_instance_uid or not self.sop_instance_uids:
            raise DeliveryError("a source is asked for instances of a study, neither may be empty")


@dataclass(frozen=True, slots=True)
class Located:
    """Where an archive says that an instance is; its SOP class, "" if it does not say."""

    sop_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str = ""


class Intake(Protocol):
    """The node's one way in, as retrieving sees it."""

    @property
    def storage(self) -> Mapping[str, str]:
        """SOP Class UIDs that are accepted, with their names."""

    @property
    def transfer_syntaxes(self) -> Sequence[str]:
        """Transfer Syntax UIDs that are accepted, in the order of preference."""

    def attach(self, association: Any) -> None:  # noqa: ANN401 - pynetdicom's
        """Let what is stored over an association go to the spool as it comes."""

    def detach(self, association: Any) -> None:  # noqa: ANN401 - same
        """Remove what came incompletely over it."""

    def on_store(self, event: Any, source: str) -> int:  # noqa: ANN401 - same
        """Take over what was stored; return the status of the C-STORE."""

    def take_parts(
        self, chunks: Iterator[bytes], content_type: str, source: str, study: str
    ) -> str:
        """Take over the parts of a multipart response; return why one was not, "" if all were."""


def retrieve(source: SourceSettings, settings: Settings, wanted: Wanted, intake: Intake) -> str:
    """Ask one source for what is missing; what it gives is in the node when this returns.

    Args:
        source: Whom to ask.
        settings: Our AE title and TLS.
        wanted: What is missing; at most `MOST_INSTANCES` of it are asked for.
        intake: Takes over what comes.

    Returns:
        Why not all that it was asked for came, in one line; "" where nothing was amiss.

    Raises:
        DeliveryError: If the source cannot be reached, or fails.
    """
    first = Wanted(wanted.study_instance_uid, wanted.sop_instance_uids[:MOST_INSTANCES])
    if source.protocol == "dicomweb":
        from node.deliver.retrieve_dicomweb import wado  # noqa: PLC0415 - httpx only there

        return wado(source, settings, first, intake)
    from node.deliver.retrieve_dimse import get, locate, move  # noqa: PLC0415 - likewise

    located = locate(source, settings, first)
    missing = len(first.sop_instance_uids) - len(located)
    told = f"{source.name} does not have {missing} of them" if missing else ""
    if located:
        give = get if source.retrieve == "get" else move
        told = "; ".join(filter(None, (give(source, settings, first, located, intake), told)))
    return told
