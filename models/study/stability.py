"""Which features survive another look: ICC of measured features, kappa of classes.

Paper, sections 2.5, 2.6 and 2.9: 50 lesions are contoured again, by the same and by another
reader; features whose ICC is not above 0.80 are unstable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.fusion.errors import TableError
from models.fusion.table import FAMILIES, FeatureTable, family_of
from models.study.describe import is_class
from models.study.results import Table
from models.study.statistics.agreement import (
    STABLE,
    Kappa,
    cross_table,
    icc_a1,
    icc_with_interval,
    kappa,
)
from models.study.tables_words import (
    NONE,
    estimate,
    feature_title,
    is_from_header,
    number,
    table,
    word,
)

Looks = tuple[FeatureTable, FeatureTable]
Reads = Mapping[str, Mapping[str, str | None]]
"""A reader's classes: case -> semantic feature -> class."""


def paired_ratings(
    first: FeatureTable, second: FeatureTable, names: Sequence[str]
) -> NDArray[np.float64]:
    """Return both values of the cases that both tables hold, (cases, 2, features).

    Raises:
        TableError: Fewer than two cases are in both, or a name is not in both.
    """
    places = {case: row for row, case in enumerate(second.ids)}
    rows = [row for row, case in enumerate(first.ids) if case in places]
    if len(rows) < 2:
        raise TableError("stability needs two lesions or more that were measured twice")
    others = [places[first.ids[row]] for row in rows]
    wanted = tuple(names)
    return np.stack([first.columns(wanted)[rows], second.columns(wanted)[others]], axis=1)


def icc_by_feature(
    first: FeatureTable, second: FeatureTable, names: Sequence[str]
) -> Mapping[str, float]:
    """Return the ICC(A,1) of each feature; NaN where it is not finite or does not vary.

    Raises:
        TableError: As `paired_ratings`.
    """
    ratings = paired_ratings(first, second, names)
    usable = np.isfinite(ratings).all(axis=(0, 1))
    found = np.full(len(names), np.nan)
    found[usable] = icc_a1(ratings[:, :, usable])
    return dict(zip(names, found.tolist(), strict=True))


def unstable(
    first: FeatureTable, second: FeatureTable, names: Sequence[str], least: float = STABLE
) -> tuple[str, ...]:
    """Return the names whose ICC(A,1) is not above `least`; what cannot be judged is unstable.

    Used inside a fold, `first` holds the fold's training cases only: no test case helps to choose.

    Raises:
        TableError: As `paired_ratings`.
    """
    found = icc_by_feature(first, second, names)
    return tuple(name for name in names if not found[name] > least)


def kappa_by_feature(first: Reads, second: Reads) -> Mapping[str, tuple[Kappa, int]]:
    """Return kappa of each semantic feature over the cases that both readers classed.

    Returns:
        feature -> kappa and how many cases; features that nobody read twice are absent.
    """
    pairs: dict[str, list[tuple[str, str]]] = {}
    for case in first:
        for name, own in first[case].items():
            other = second.get(case, {}).get(name)
            if own is not None and other is not None:
                pairs.setdefault(name, []).append((own, other))
    return {
        name: (kappa(cross_table(*zip(*seen, strict=True))), len(seen))
        for name, seen in pairs.items()
    }


def stability_table(
    looks: Mapping[str, Looks], readers: tuple[Reads, Reads] | None = None
) -> Table:
    """Return the agreement of every family, of each clinical feature and of the readers' classes.

    Args:
        looks: Who looked twice ("two readers", "one reader, two weeks apart") -> both tables.
        readers: Two readers' classes of the same lesions; None if they are not there.

    Raises:
        TableError: As `paired_ratings`.
    """
    rows: list[tuple[str, ...]] = []
    for between, (first, second) in looks.items():
        common = [name for name in first.names if name in set(second.names)]
        for family in FAMILIES:
            names = [name for name in common if family_of(name) == family]
            if family == "clinical":
                # Age and sex are the same however often a lesion is outlined.
                looked = [name for name in names if not is_from_header(name)]
                rows += [_clinical(first, second, name, between) for name in looked]
            elif names:
                rows.append(_family(first, second, names, between))
    if readers is not None:
        rows += [
            (title_of_read(name), word("readers_between"), str(cases), "1", *_kappa(found))
            for name, (found, cases) in kappa_by_feature(*readers).items()
        ]
    return table("stability", rows)


def stability_features(looks: Mapping[str, Looks]) -> Table:
    """Return the ICC(A,1) of each radiomics and deep feature, the least stable first.

    It is as long as there are features: for a CSV file, or its beginning for a page.

    Args:
        looks: As `stability_table`; a column each, and a feature is stable where all are.

    Raises:
        TableError: As `paired_ratings`.
    """
    common = set.intersection(*(set(one.names) & set(two.names) for one, two in looks.values()))
    first = next(iter(looks.values()))[0]
    names = [name for name in first.names if name in common and family_of(name) != "clinical"]
    found = np.array([list(icc_by_feature(*pair, names).values()) for pair in looks.values()])
    # What cannot be judged comes first of all.
    least = np.nan_to_num(found, nan=-np.inf).min(axis=0, initial=np.inf)
    rows = [
        (
            word(family_of(names[place]), "families"),
            names[place],
            *(number(icc, 4) for icc in found[:, place]),
            _yes(bool(least[place] > STABLE)),
        )
        for place in sorted(range(len(names)), key=lambda place: (least[place], names[place]))
    ]
    heads = tuple(f"ICC(A,1), {between}" for between in looks)
    return table("stability_features", rows, (*heads, word("stable")))


def title_of_read(name: str) -> str:
    """Return what a person calls a semantic feature: morphology as clinical_morphology."""
    known = {"flow_grade": "flow", "internal_echo": "echo", "maximum_diameter": "size"}
    return feature_title(f"clinical_{known.get(name, name)}")


def _family(
    first: FeatureTable, second: FeatureTable, names: Sequence[str], between: str
) -> tuple[str, ...]:
    found = np.array(list(icc_by_feature(first, second, names).values()))
    judged = found[np.isfinite(found)]
    if len(judged):
        low, middle, high = np.quantile(judged, (0.25, 0.5, 0.75))
        text = f"ICC {number(middle, 3)} ({number(low, 3)} to {number(high, 3)})"
    else:
        text = NONE
    stable = int((judged > STABLE).sum())
    return (
        word(family_of(names[0]), "families"),
        between,
        str(len(paired_ratings(first, second, names[:1]))),
        str(len(names)),
        text,
        f"{stable} ({number(100 * stable / len(names), 1)} %)",
    )


def _clinical(
    first: FeatureTable, second: FeatureTable, name: str, between: str
) -> tuple[str, ...]:
    ratings = paired_ratings(first, second, (name,))[:, :, 0]
    ratings = ratings[np.isfinite(ratings).all(axis=1)]
    head = (feature_title(name), between, str(len(ratings)), "1")
    if len(ratings) < 2:
        return (*head, NONE, NONE)
    if is_class(ratings[:, 0], ratings[:, 1]):
        return (*head, *_kappa(kappa(cross_table(ratings[:, 0], ratings[:, 1]))))
    icc = icc_with_interval(ratings)
    return (*head, f"ICC {estimate(icc, 2)}", _yes(icc.value > STABLE))


def _kappa(found: Kappa) -> tuple[str, str]:
    low, high = found.interval
    if not np.isfinite(found.value):
        return NONE, NONE
    text = f"kappa {number(found.value, 3)} ({number(low, 3)} to {number(high, 3)})"
    return text, _yes(found.value > STABLE)


def _yes(is_so: bool) -> str:  # noqa: FBT001 - a cell of a table
    return word("yes") if is_so else word("no")
