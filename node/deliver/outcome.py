"""What became of an attempt, and what follows from it. Pure: no clock, no random number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ObjectOutcome:
    """What became of one object in one attempt.

    Attributes:
        state: `proven` (the archive has it), `sent` (accepted, not proven yet) or `failed`.
        detail: "" or one line for the audit: a warning status, why it failed, `unverified`.
        permanent: Failed, and the same bytes will fail again.
        down: Failed, and not for the object's sake: the archive does not answer or has no room.
        transaction_uid: Of the storage commitment request whose result has not come; it may
            still arrive on an association of the archive's own.
    """

    sop_instance_uid: str
    state: Literal["proven", "sent", "failed"]
    detail: str = ""
    permanent: bool = False
    transaction_uid: str = ""
    down: bool = False

    def __post_init__(self) -> None:
        if self.permanent and self.state != "failed":
            raise ValueError("only a failure is permanent")
        if self.down and (self.permanent or self.state != "failed"):
            raise ValueError("what an archive that is down did not take is a failure for now")
        if self.transaction_uid and self.state != "sent":
            raise ValueError("only what is not proven yet waits for a commitment")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of all objects in one attempt, in the order in which they were given."""

    objects: tuple[ObjectOutcome, ...]

    @property
    def proven(self) -> bool:
        """Whether nothing is left to do."""
        return all(item.state == "proven" for item in self.objects)


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient delivery is; times in seconds.

    The wait doubles from attempt to attempt up to `longest_wait_s`. With the defaults an archive
    may be down for two to three days before its deliveries are dead.

    Attributes:
        first_wait_s: After the first attempt that failed.
        first_unproven_wait_s: After an attempt whose object was accepted and then not found, or
            was permanently refused: an index takes its time, and so does a person.
        permanent_attempts: After so many a permanent refusal is final.
    """

    first_wait_s: float = 1
    first_unproven_wait_s: float = 30
    longest_wait_s: float = 15 * 60
    max_attempts: int = 400
    permanent_attempts: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.first_wait_s <= self.longest_wait_s:
            raise ValueError("the first wait lies between zero and the longest")
        if not 0 < self.first_unproven_wait_s <= self.longest_wait_s:
            raise ValueError("the first unproven wait lies between zero and the longest")
        if not 1 <= self.permanent_attempts <= self.max_attempts:
            raise ValueError("permanent_attempts lies between 1 and max_attempts")


@dataclass(frozen=True, slots=True)
class Proven:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Make another attempt after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Dead:
    """Give up, visibly; only a person starts it again."""

    reason: str


def next_step(
    attempt: int, result: ObjectOutcome, policy: Policy, draw: float
) -> Proven | RetryAfter | Dead:
    """Decide what follows from an attempt.

    Args:
        attempt: How many attempts were made for this object, this one included: 1, 2, ...
        result: What became of it in this one.
        policy: How patient to be.
        draw: A random number in [0, 1): the wait is shortened by up to half, so that
            deliveries that failed together do not come back together.

    Raises:
        ValueError: If `attempt` is below 1 or `draw` is no such number.
    """
    if attempt < 1 or not 0 <= draw < 1:
        raise ValueError("attempts count from 1 and the draw lies in [0, 1)")
    if result.state == "proven":
        return Proven()
    limit = policy.permanent_attempts if result.permanent else policy.max_attempts
    if attempt >= limit:
        times = "attempt" if attempt == 1 else "attempts"
        return Dead(f"given up after {attempt} {times}: {result.detail or 'not proven'}")
    slow = result.permanent or result.state == "sent"
    first = policy.first_unproven_wait_s if slow else policy.first_wait_s
    doublings = min(attempt - 1, 32)  # the longest wait is reached long before
    return RetryAfter(min(first * 2**doublings, policy.longest_wait_s) * (1 - draw / 2))


def retry_after(
    attempt: int, results: Iterable[ObjectOutcome], policy: Policy, draw: float
) -> float | None:
    """Decide for the objects of one delivery together: seconds until the next attempt, or None.

    None means that nothing is worth another attempt: each object is proven or dead. One that is
    dead does not end the others; they are tried again after the shortest of their waits.

    Raises:
        ValueError: As `next_step`.
    """
    steps = [next_step(attempt, result, policy, draw) for result in results]
    return min((step.seconds for step in steps if isinstance(step, RetryAfter)), default=None)
