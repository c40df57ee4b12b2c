"""The first page: three numbers and what each means."""

from __future__ import annotations

from dataclasses import dataclass

from models.study.report.numbers import decimal, interval, p_value, percent, share_interval, signed
from models.study.report.view import View
from models.study.report.wording import call, say
from models.study.results import CohortName, Comparison, ModelResult, Performance


@dataclass(frozen=True, slots=True)
class Headline:
    """A number, its interval and its meaning in one sentence."""

    label: str
    value: str
    interval: str
    meaning: str


def judged_on(view: View) -> CohortName:
    """Return the cohort that the headline is about: the external one where the model was there."""
    model = view.primary
    return "external" if model is not None and model.external is not None else "training"


def headlines(view: View) -> tuple[Headline, ...]:
    """Discrimination, the operating point, and what is gained over the clinical model."""
    model = view.primary
    if model is None:
        return ()
    cohort = judged_on(view)
    found = view.performance(model, cohort)
    if found is None:
        return ()
    return (_area(model, found), _operating(found), _gain(view, model, cohort, found))


def _area(model: ModelResult, found: Performance) -> Headline:
    meaning = say("headline.auc", model=call(model.name), of=decimal(100 * found.auc.value, 0))
    return Headline(
        say("headline.auc_label"),
        decimal(found.auc.value),
        say("headline.interval", interval=interval(found.auc.interval)),
        meaning,
    )


def _operating(found: Performance) -> Headline:
    hits, right = found.sensitivity, found.specificity
    return Headline(
        say("headline.sensitivity_label"),
        percent(hits.value),
        say("headline.interval", interval=share_interval(hits)),
        say(
            "headline.sensitivity",
            missed=hits.denominator - hits.numerator,
            malignant=hits.denominator,
            alarms=right.denominator - right.numerator,
            benign=right.denominator,
            specificity=percent(right.value),
        ),
    )


def _gain(view: View, model: ModelResult, cohort: CohortName, found: Performance) -> Headline:
    pair = {model.name, "CM"}
    test = next(
        (c for c in view.result.comparisons if c.cohort == cohort and {c.first, c.second} == pair),
        None,
    )
    if test is None or model.name == "CM":
        calibration = found.calibration
        return Headline(
            say("headline.slope_label"),
            decimal(calibration.slope.value, 2),
            say("headline.interval", interval=interval(calibration.slope.interval, 2)),
            say("headline.slope", ici=decimal(100 * calibration.ici, 1)),
        )
    return _difference(model, test)


def _difference(model: ModelResult, test: Comparison) -> Headline:
    gain = test.difference if test.first == model.name else -test.difference
    verdict = "unclear" if test.p >= 0.05 else "better" if gain > 0 else "worse"
    return Headline(
        say("headline.gain_label"),
        signed(gain),
        say("headline.p", p=p_value(test.p)),
        say(f"headline.gain_{verdict}", model=call(model.name), cases=test.cases),
    )
