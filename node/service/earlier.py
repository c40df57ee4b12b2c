"""Asking the first DIMSE destination for earlier reports, without ever waiting long for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node.config import DestinationSettings, Settings
from node.errors import CrdlError
from node.jobs.stages import EarlierAnswer, EarlierQuestion, Prior

if TYPE_CHECKING:  # pydicom and pynetdicom only where an archive is asked
    from sr_templates.earlier import EarlierReport

WAIT_S = 5.0
_REST_S = 120.0  # for an archive that kept us waiting: the next jobs do not wait for it again


def earlier_stage(
    settings: Settings, wait_s: float = WAIT_S
) -> Callable[[EarlierQuestion], EarlierAnswer] | None:
    """Return the stage that asks for earlier reports; None where it is not configured.

    Args:
        settings: With `[report] trend` and the destinations; the first that speaks DIMSE is asked.
        wait_s: Seconds that an answer may take.
    """
    if not settings.report.trend:
        return None
    asked = next((one for one in settings.destination if one.protocol == "dimse"), None)
    return None if asked is None else _Archive(asked, settings, wait_s)


@dataclass
class _Archive:
    """One destination as it is asked by one process."""

    destination: DestinationSettings
    settings: Settings
    wait_s: float
    _rests_until: float = field(default=0.0, init=False)

    def __call__(self, question: EarlierQuestion) -> EarlierAnswer:
        """Return what the archive says; a failure is part of the answer, never an exception."""
        name = self.destination.name
        left = self._rests_until - time.monotonic()
        if left > 0:
            return EarlierAnswer(
                name, (), f"not asked: it was too slow, and rests {left:.0f} s more"
            )
        reports: list[EarlierReport] = []
        failures: list[str] = []
        # Not every wait has a limit (the resolver's has none), so the whole gets one from outside;
        # a thread that is left behind ends by the limits that it has.
        asking = threading.Thread(
            target=self._ask, args=(question, reports, failures), name="earlier", daemon=True
        )
        began = time.monotonic()
        asking.start()
        asking.join(self.wait_s)
        if asking.is_alive():
            failures.append(f"{name} took longer than {self.wait_s:g} s")
        failure = failures[-1] if failures else ""
        if failure and time.monotonic() - began > self.wait_s / 2:
            self._rests_until = time.monotonic() + _REST_S
        return EarlierAnswer(name, _priors(list(reports)), failure)

    def _ask(
        self, question: EarlierQuestion, reports: list[EarlierReport], failures: list[str]
    ) -> None:
        from node.deliver.priors import Patient, earlier_reports  # noqa: PLC0415 - with trend only

        try:
            patient = Patient(
                question.patient_id,
                question.issuer,
                question.study_instance_uid,
                question.study_date,
            )
            for report in earlier_reports(self.destination, self.settings, patient, self.wait_s):
                reports.append(report)  # noqa: PERF402 - the other thread looks before the end
        except CrdlError as error:
            failures.append(str(error))
        except Exception as error:  # noqa: BLE001 - the boundary of a thread: the report goes on
            failures.append(f"{type(error).__name__}: {error}")


def _priors(reports: list[EarlierReport]) -> tuple[Prior, ...]:
    return tuple(
        Prior(
            sop_instance_uid=report.sop_instance_uid,
            tracking_uid=lesion.tracking_uid,
            date=report.date.isoformat(),
            probability=lesion.probability,
            diameter_mm=lesion.diameter_mm,
            bundle_name=report.bundle_name,
            bundle_version=report.bundle_version,
            prior_shift=lesion.prior_shift,
        )
        for report in reports
        for lesion in report.lesions
    )
