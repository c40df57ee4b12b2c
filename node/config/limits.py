"""How much any sender may ask of the node."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from node.config.section import Section


class LimitSettings(Section):
    """`[limits]`: of one receiver process; a peer is an address (an IPv6 network of 64 bits).

    A connection counts from its first packet, an association from its admission. The rates allow
    a minute's worth at once. `maximum_instance_mib` is the size of one received instance, by
    DIMSE or STOW-RS. Seconds: `request_s` from the connection to the association request,
    `pdu_s` a PDU or a piece of an HTTP body, `idle_s` between two messages, `header_s` for
    reading one header.
    """

    maximum_connections: int = Field(128, ge=1)
    maximum_connections_per_peer: int = Field(64, ge=1)
    maximum_associations: int = Field(64, ge=1)
    connections_per_minute: int = Field(1200, ge=1)
    associations_per_minute: int = Field(1200, ge=1)
    maximum_instance_mib: int = Field(4096, ge=1)
    request_s: float = Field(30, gt=0)
    pdu_s: float = Field(60, gt=0)
    idle_s: float = Field(300, gt=0)
    header_s: float = Field(10, gt=0)

    @property
    def maximum_instance_bytes(self) -> int:
        """The size of one instance in bytes."""
        return self.maximum_instance_mib << 20

    @model_validator(mode="after")
    def _a_peer_has_no_more_than_all(self) -> Self:
        if self.maximum_connections_per_peer > self.maximum_connections:
            raise ValueError("limits.maximum_connections_per_peer exceeds maximum_connections")
        return self
