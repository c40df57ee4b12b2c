"""A cohort as a table of features, and the three families its columns fall into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.fusion.errors import TableError

Family = Literal["clinical", "radiomics", "deep"]
FAMILIES: tuple[Family, ...] = ("clinical", "radiomics", "deep")


def family_of(name: str) -> Family:
    """Return the family of a feature by its name: `clinical_*`, `dl_*`, anything else."""
    if name.startswith("clinical_"):
        return "clinical"
    return "deep" if name.startswith("dl_") else "radiomics"


def input_of(name: str) -> str:
    """Return the input a feature comes from, as a person would call it: "flow", "radiomics"."""
    family = family_of(name)
    return name.removeprefix("clinical_").split("_")[0] if family == "clinical" else family


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """One row a case, one column a feature.

    Attributes:
        ids: Case identifiers, unique.
        patients: Whose case it is; the cross-validation never splits a patient.
        labels: (cases,) int, 1 malignant, 0 benign.
        names: Feature names, unique.
        values: (cases, features) float64; NaN where a feature is missing.
    """

    ids: tuple[str, ...]
    patients: tuple[str, ...]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.ids), len(self.names)):
            raise TableError(
                f"{len(self.ids)} cases and {len(self.names)} features do not make a table "
                f"of shape {self.values.shape}"
            )
        if len(self.patients) != len(self.ids) or self.labels.shape != (len(self.ids),):
            raise TableError("every case needs one patient and one label")
        if len(set(self.ids)) != len(self.ids) or len(set(self.names)) != len(self.names):
            raise TableError("case identifiers and feature names must be unique")
        if not np.isin(self.labels, (0, 1)).all():
            raise TableError("labels are 1 (malignant) or 0 (benign)")

    def columns(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Return the named columns, (cases, len(names)).

        Raises:
            TableError: A name is not in the table.
        """
        position = {name: index for index, name in enumerate(self.names)}
        absent = [name for name in names if name not in position]
        if absent:
            raise TableError(f"the table has no column {', '.join(absent[:3])}")
        return self.values[:, [position[name] for name in names]]

    def rows(self, chosen: NDArray[np.bool_]) -> FeatureTable:
        """Return the chosen cases as a table of their own."""
        return FeatureTable(
            ids=tuple(np.array(self.ids, dtype=object)[chosen]),
            patients=tuple(np.array(self.patients, dtype=object)[chosen]),
            labels=self.labels[chosen],
            names=self.names,
            values=self.values[chosen],
        )

    def without_unusable_columns(self) -> tuple[FeatureTable, tuple[str, ...]]:
        """Drop image features that are constant or not finite in some case.

        Clinical features stay whatever they miss: a case that lacks one is left out of the
        models that need it. Labels are not looked at, so nothing leaks.

        Returns:
            The smaller table and the names that were dropped.
        """
        finite = np.isfinite(self.values).all(axis=0)
        varies = np.zeros(len(self.names), dtype=bool)
        varies[finite] = np.ptp(self.values[:, finite], axis=0) > 0
        clinical = np.array([family_of(name) == "clinical" for name in self.names])
        keep = clinical | (finite & varies)
        kept = tuple(name for name, stays in zip(self.names, keep, strict=True) if stays)
        dropped = tuple(name for name, stays in zip(self.names, keep, strict=True) if not stays)
        table = FeatureTable(self.ids, self.patients, self.labels, kept, self.values[:, keep])
        return table, dropped
