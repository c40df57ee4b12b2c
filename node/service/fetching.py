"""Asking the sources for images: the retrieving of `deliver` meets the intake of `receive`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from node.config import Settings
from node.errors import CrdlError
from node.jobs.edge import FetchAnswer, FetchQuestion

if TYPE_CHECKING:
    from node.deliver.retrieve import Intake


def fetch_stage(
    settings: Settings, intake: Intake, here: Callable[[tuple[str, ...]], set[str]]
) -> Callable[[FetchQuestion], tuple[FetchAnswer, ...]]:
    """Return what asks the sources in their order, each for what those before did not give.

    Args:
        settings: With at least one source.
        intake: Takes over what comes.
        here: Tells which SOP Instance UIDs the node has by now.
    """
    from node.deliver.retrieve import Wanted, retrieve  # noqa: PLC0415 - pynetdicom in one role

    def fetch(question: FetchQuestion) -> tuple[FetchAnswer, ...]:
        answers: list[FetchAnswer] = []
        for source in settings.source:
            there = here(question.sop_instance_uids)
            left = tuple(uid for uid in question.sop_instance_uids if uid not in there)
            if not left:
                break
            wanted = Wanted(question.study_instance_uid, left)
            try:
                failure = retrieve(source, settings, wanted, intake)
            except CrdlError as error:
                failure = str(error)
            answers.append(FetchAnswer(source.name, failure))
        return tuple(answers)

    return fetch
