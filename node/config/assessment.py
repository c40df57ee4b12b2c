"""What is assessed, by which bundle, and how images are paired."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from node.config.section import Section


class ModelSettings(Section):
    """`[model]`: which bundle answers, where, and the prevalence it is shifted to.

    `shadow` names a second bundle that scores every case for the audit only. `abstention` is the
    share of wrong classes that is tolerated, 0 to 1: where no single class holds at that share,
    the report gives the probability and no class. Empty means neither.
    """

    bundle: str = "simulated"
    shadow: str = ""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda|cuda:\d+|(MIG|GPU)-[0-9A-Za-z/-]+)$")
    prevalence: float | Literal[""] = ""
    abstention: float | Literal[""] = ""

    @property
    def prior(self) -> float | None:
        """The prevalence to shift to, or None to keep the training prevalence."""
        return None if self.prevalence == "" else self.prevalence

    @property
    def tolerated_error(self) -> float | None:
        """The share of wrong classes above which no class is given, or None to give one always."""
        return None if self.abstention == "" else self.abstention

    @model_validator(mode="after")
    def _shares_are_probabilities(self) -> Self:
        if self.prevalence != "" and not 0 < self.prevalence < 1:
            raise ValueError("model.prevalence must lie between 0 and 1")
        if self.abstention != "" and not 0 < self.abstention < 1:
            raise ValueError("model.abstention must lie between 0 and 1")
        return self


class IntendedUseSettings(Section):
    """`[intended_use]`: what may be assessed at all.

    `denied_segment_codes` are `scheme:value`; a segment whose category or type is one of them is
    no soft-tissue mass. `body_parts` are Body Part Examined values (PS3.16 Annex L) that are
    eligible, beside images that name none. Without a list of your own the shipped one in
    node/pipeline/intended_use.toml holds; an empty list denies no segment, or no body part.
    """

    denied_segment_codes: tuple[str, ...] | None = None
    body_parts: tuple[str, ...] | None = None
    minimum_age_years: int = Field(0, ge=0)


class PairingSettings(Section):
    """`[pairing]`: how long to wait, in seconds.

    `fetch_after_s`: until the sources are asked for images that a case misses.
    """

    grace_s: float = Field(3, ge=0)
    unreferenced_quiet_s: float = Field(20, ge=0)
    fetch_after_s: float = Field(10, ge=0)
