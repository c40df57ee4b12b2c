"""The form of the reports, what comes back, and where reports go."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from node.config.section import OptionalPath, Section
from sr_templates.errors import TemplateError
from sr_templates.validation import check_templates

Companion = Literal["sc", "pdf", "seg", "gsps", "ko"]
"""An object that goes with the SR: Secondary Capture, Encapsulated PDF, hybrid SEG, Grayscale
Softcopy Presentation State, Key Object Selection."""


class ReportSettings(Section):
    """`[report]`: the form of the Structured Report and its companions.

    `companions` are built for every report; a destination may take fewer or others. `templates`
    is a folder whose TOML files replace or add to those of `sr_templates`. `trend` tells of
    the patient's earlier reports: our own, and those that the first DIMSE destination holds.
    """

    sop_class: Literal["comprehensive3d", "comprehensive"] = "comprehensive3d"
    title: Literal["oncology", "imaging"] = "oncology"
    companions: tuple[Companion, ...] = ("sc",)
    language: str = Field("en", pattern=r"^[a-z]{2}$")
    templates: OptionalPath = None
    trend: bool = False

    @model_validator(mode="after")
    def _templates_hold_together(self) -> Self:
        try:
            check_templates(self.language, self.templates)
        except TemplateError as error:
            raise ValueError(str(error)) from error
        return self


class ReadingSettings(Section):
    """`[reading]`: radiologists' answers and outcomes that come back.

    `accept` lets an SR with semantic features replace the measured ones. `mllp_port` listens for
    HL7 v2 ORU results over MLLP on `mllp_host`; 0 listens nowhere.
    """

    accept: bool = True
    mllp_host: str = "127.0.0.1"
    mllp_port: int = Field(0, ge=0, le=65535)


class DestinationSettings(Section):
    """`[[destination]]`: one archive that gets the reports, and how arrival is proven there.

    `companions` overrides `[report] companions` for this destination; `refusals` sends "not
    assessed" reports there; `reject_superseded` sends an IOCM rejection note for what a new
    report supersedes. At most `max_concurrent` deliveries go there at once, and at most
    `max_per_minute` begin in a minute, over all processes together; 0 sets no limit.
    """

    name: str = Field(min_length=1)
    protocol: Literal["dimse", "dicomweb"] = "dimse"
    ae_title: str = ""
    host: str = ""
    port: int = Field(0, ge=0, le=65535)
    url: str = ""
    verify: Literal["query", "commitment", "none"] = "query"
    companions: tuple[Companion, ...] | None = None
    refusals: bool = True
    reject_superseded: bool = False
    max_concurrent: int = Field(0, ge=0)
    max_per_minute: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _address_fits_the_protocol(self) -> Self:
        if self.protocol == "dimse" and not (self.ae_title and self.host and self.port):
            raise ValueError(f"destination {self.name!r} needs ae_title, host and port")
        if self.protocol == "dicomweb" and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"destination {self.name!r} needs an http(s) url")
        if self.protocol == "dicomweb" and self.verify == "commitment":
            raise ValueError(f"destination {self.name!r}: DICOMweb is verified by query")
        return self
