"""How our own objects name their equipment, and how they are recognised when they come back."""

from __future__ import annotations

from typing import Final

MANUFACTURER: Final = "CRDL node"
MANUFACTURER_MODEL_NAME: Final = "CRDL"


def is_ours(manufacturer: str, manufacturer_model_name: str) -> bool:
    """Say whether equipment values (PS3.3 section C.7.5.1) are those of this node.

    Args:
        manufacturer: Manufacturer (0008,0070) as read.
        manufacturer_model_name: Manufacturer's Model Name (0008,1090) as read.
    """
    # An archive may pad or change the case of LO values when it forwards them.
    ours = (MANUFACTURER.casefold(), MANUFACTURER_MODEL_NAME.casefold())
    return (manufacturer.strip().casefold(), manufacturer_model_name.strip().casefold()) == ours
