"""The edge of the workflow: where missing images are asked for, and rules about what goes where."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from node.config.section import OptionalPath, Section


class RulesSettings(Section):
    """`[rules]`: `file` is a TOML file of routing rules; empty routes everything alike."""

    file: OptionalPath = None


class WorklistSettings(Section):
    """`[worklist]`: Unified Procedure Steps and completion signals, all off by default.

    `serve` manages workitems at the DICOM port and at /dicom-web/workitems; `subscribers` are those
    who may hear of them, `AE@host:port`. `mpps` and `ian` take Modality Performed Procedure Steps
    and Instance Availability Notifications: a study that is told complete is paired without the
    wait for quiet. `performs` is the URL of another's UPS-RS server whose workitems with one of the
    `labels` (Worklist Label) this node claims, asking every `poll_s` seconds.
    """

    serve: bool = False
    subscribers: tuple[str, ...] = ()
    mpps: bool = False
    ian: bool = False
    performs: str = Field("", pattern=r"^(https?://.+)?$")
    labels: tuple[str, ...] = ()
    poll_s: float = Field(10, gt=0)
    give_up_s: float = Field(3600, gt=0)


class SourceSettings(Section):
    """`[[source]]`: one archive that is asked for images which a waiting case refers to.

    `retrieve` is how a DIMSE archive gives them: `get` over our own association, or `move` to our
    receiver, for which the archive has to know our AE title and address.
    """

    name: str = Field(min_length=1)
    protocol: Literal["dimse", "dicomweb"] = "dimse"
    ae_title: str = ""
    host: str = ""
    port: int = Field(0, ge=0, le=65535)
    url: str = ""
    retrieve: Literal["get", "move"] = "get"

    @model_validator(mode="after")
    def _address_fits_the_protocol(self) -> Self:
        if self.protocol == "dimse" and not (self.ae_title and self.host and self.port):
            raise ValueError(f"source {self.name!r} needs ae_title, host and port")
        if self.protocol == "dicomweb" and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"source {self.name!r} needs an http(s) url")
        return self
