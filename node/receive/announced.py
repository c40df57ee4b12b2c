"""What a sender says that it sends, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass

from node.case import InstanceHeader
from node.receive.faults import MismatchError


@dataclass(frozen=True, slots=True)
class Announced:
    """What a sender said that it would send; "" is no claim."""

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""

    def require(self, header: InstanceHeader) -> None:
        """Let pass the instance that was announced.

        Raises:
            MismatchError: If the data set says something else.
        """
        for keyword, claim, found in (
            ("SOPClassUID", self.sop_class_uid, header.sop_class_uid),
            ("SOPInstanceUID", self.sop_instance_uid, header.sop_instance_uid),
            ("StudyInstanceUID", self.study_instance_uid, header.study_instance_uid),
        ):
            if claim and claim != found:
                raise MismatchError(f"the data set's {keyword} is not the announced one")
