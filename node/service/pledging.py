"""Storage commitment asked of the node: who takes the request, who asks and who tells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from node.config import Settings
from node.deliver.association import Peer, Timeouts
from node.deliver.event_report import tell_on, tell_peer
from node.deliver.holding import held_by_archives
from node.deliver.reactor import pause_properly
from node.jobs.pledges import Decided, Sought, Standing
from node.jobs.pledging import PledgeBook, Pledger
from node.receive.commitment_requests import CommitmentRequests

_ADDRESS: Final = re.compile(r"([^@]+)@(\[[^\]]+\]|[^:@]+):(\d+)")


def commitment_requests(settings: Settings, book: PledgeBook) -> CommitmentRequests | None:
    """Return what takes requests in the receiver; None where `storage_commitment` is off."""
    if not settings.node.storage_commitment:
        return None
    return CommitmentRequests(book, tell_on, pause_properly)


def pledger(settings: Settings, book: PledgeBook, timeouts: Timeouts | None = None) -> Pledger:
    """Return what runs the commitment queue in the sender."""
    peers = commitment_peers(settings, timeouts or Timeouts())

    def ask(sought: Sequence[Sought], root: str) -> Mapping[str, Standing]:
        return held_by_archives(sought, root, settings, timeouts=timeouts)

    def tell(decided: Decided) -> str:
        peer = peers.get(decided.calling_ae)
        if peer is None:
            return f"node.commitment_peers does not say where {decided.calling_ae} listens"
        return tell_peer(peer, decided)

    return Pledger(book, ask, tell)


def commitment_peers(settings: Settings, timeouts: Timeouts) -> dict[str, Peer]:
    """Return where modalities listen for results, by AE title."""
    found: dict[str, Peer] = {}
    for address in settings.node.commitment_peers:
        parts = _ADDRESS.fullmatch(address)
        assert parts is not None  # noqa: S101 - the settings have the same form
        title, host, port = parts.groups()
        found[title] = Peer(
            title,
            title,
            host.strip("[]"),
            int(port),
            settings.node.ae_title,
            settings.tls,
            timeouts,
        )
    return found
