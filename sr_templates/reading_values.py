"""What the items of one lesion say: lengths, classes and the final statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from pydicom.dataset import Dataset

from sr_templates.reading_items import (
    children,
    code_in,
    concept_of,
    meaning_in,
    text_of,
    walk,
)
from sr_templates.reading_words import Classified, plain, vocabulary

Statement = Literal["malignant", "benign"]

_DERIVATION: Final = "DCM:121401"  # TID 300 row 4
_SAID_BY_THE_TEMPLATE: Final = frozenset(
    {
        "DCM:112039",  # Tracking Identifier, TID 4108
        "DCM:112040",  # Tracking Unique Identifier
        "SCT:363698007",  # Finding Site
        "DCM:121405",  # Measurement Method, TID 1501 of older editions
        "SCT:370129005",  # Measurement Method
    }
)


@dataclass(frozen=True, slots=True)
class Said:
    """What items say, and what of them was not understood."""

    features: Mapping[str, float | str]
    statement: Statement | None
    our_class: Statement | None
    ignored: tuple[str, ...]


@dataclass
class _Hearing:
    """Answers by feature with how good each is; the lowest rank counts."""

    answers: dict[str, list[tuple[int, float | str]]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    def hear(self, name: str, rank: int, value: float | str) -> None:
        self.answers.setdefault(name, []).append((rank, value))

    def settle(self, name: str) -> float | str | None:
        """Return the one answer of the best rank; two that differ are none."""
        heard = self.answers.get(name)
        if not heard:
            return None
        best = min(rank for rank, _ in heard)
        values = {value for rank, value in heard if rank == best}
        if len(values) == 1:
            return values.pop()
        self.ignored.append(f"{name}: said more than once and differently")
        return None


def said_by(items: Iterable[Dataset]) -> Said:
    """Understand the content items of one lesion."""
    words, hearing = vocabulary(), _Hearing()
    for item in items:
        match item.get("ValueType"):
            case "NUM":
                _number(item, hearing)
            case "CODE":
                _coded(item, hearing)
            case "TEXT":
                _text(item, hearing)
            case _:
                pass  # containers, references and coordinates say where, not what
    names = [*(row.name for row in words.lengths), *(row.name for row in words.classes)]
    features = {name: value for name in names if (value := hearing.settle(name)) is not None}
    statement = hearing.settle(words.statement.name)
    our_class = hearing.settle(words.our_class.name)
    return Said(
        features,
        cast("Statement | None", statement),
        cast("Statement | None", our_class),
        tuple(hearing.ignored),
    )


def agreement_in(items: Iterable[Dataset]) -> bool | None:
    """Return whether items agree or disagree with prior findings; None for neither or both."""
    agreement = vocabulary().agreement
    found = {
        agreement[code]
        for top in items
        for item in walk(top)
        for code in (concept_of(item), code_in(item, "ConceptCodeSequence"))
        if code in agreement
    }
    return found.pop() if len(found) == 1 else None


def _number(item: Dataset, hearing: _Hearing) -> None:
    words, concept = vocabulary(), concept_of(item)
    name = meaning_in(item, "ConceptNameCodeSequence") or concept
    row = next((length for length in words.lengths if concept in length.concepts), None)
    if row is None:
        hearing.ignored.append(f"{name} ({concept}): not a feature of this model")
        return
    derivations = {
        code_in(child, "ConceptCodeSequence")
        for child in children(item)
        if concept_of(child) == _DERIVATION
    }
    if derivations - row.derivations:
        hearing.ignored.append(f"{name}: another derivation than the maximum")
        return
    for measured in item.get("MeasuredValueSequence") or ():
        unit = code_in(measured, "MeasurementUnitsCodeSequence").partition(":")[2]
        value = words.millimetres(float(measured.NumericValue), unit)
        if value is None:
            hearing.ignored.append(f"{name}: {measured.NumericValue} {unit} is no lesion's length")
        else:
            hearing.hear(row.name, row.concepts.index(concept) - bool(derivations), value)


def _coded(item: Dataset, hearing: _Hearing) -> None:
    words, concept = vocabulary(), concept_of(item)
    value = code_in(item, "ConceptCodeSequence")
    name = meaning_in(item, "ConceptNameCodeSequence") or concept
    meaning = meaning_in(item, "ConceptCodeSequence") or value
    rows = [row for row in _classified() if concept in row.concepts]
    for row in rows:
        if value in row.values:
            hearing.hear(row.name, 0, row.values[value])
            return
    # A viewer without codes of its own puts the label that a person typed into the meaning.
    if _phrases(meaning, hearing):
        return
    if concept in _SAID_BY_THE_TEMPLATE or (rows == [words.statement] and value):
        return
    hearing.ignored.append(f"{name} = {meaning} ({concept} = {value}): not known")


def _text(item: Dataset, hearing: _Hearing) -> None:
    concept, value = concept_of(item), text_of(item)
    for row in _classified():
        if concept in row.concepts and plain(value) in row.texts:
            hearing.hear(row.name, 1, row.texts[plain(value)])
            return
    if not _phrases(value, hearing) and concept not in _SAID_BY_THE_TEMPLATE:
        name = meaning_in(item, "ConceptNameCodeSequence") or concept
        hearing.ignored.append(f"{name}: free text is not interpreted")


def _phrases(text: str, hearing: _Hearing) -> bool:
    """Hear "feature: value" phrases, parted by semicolons; say whether all of it was some."""
    phrases = [part for part in text.split(";") if part.strip()]
    heard = [answer for part in phrases if (answer := _phrase(part)) is not None]
    if not heard or len(heard) != len(phrases):
        return False
    for name, value in heard:
        hearing.hear(name, 2, value)
    return True


def _phrase(part: str) -> tuple[str, float | str] | None:
    name, colon, value = part.partition(":")
    if not colon:
        return None
    for row in _classified():
        if plain(name) in row.words and plain(value) in row.texts:
            return row.name, row.texts[plain(value)]
    for length in vocabulary().lengths:
        if plain(name) in length.words:
            millimetres = _length(value)
            return None if millimetres is None else (length.name, millimetres)
    return None


def _length(text: str) -> float | None:
    number, _, unit = text.strip().partition(" ")
    try:
        return vocabulary().millimetres(float(number), unit.strip())
    except ValueError:
        return None


def _classified() -> Iterator[Classified]:
    words = vocabulary()
    yield from words.classes
    yield words.statement
    yield words.our_class
