"""Storage commitment results on the archive's own association, from the wire to the job's end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydicom import Dataset
from pynetdicom import AE, build_role
from sqlalchemy import insert, select, update

from node.audit.tables import Commitment, Delivery, Job, LedgerDelivery, Report
from node.audit.trail import Trail
from node.config import Settings
from node.database import utc_now
from node.deliver.association import Timeouts
from node.jobs.committing import Committer
from node.jobs.dbos_engine import DbosEngine, migrate
from node.jobs.delivering import Deliverer
from node.jobs.dispatching import delivery
from node.jobs.pledging import PledgeBook
from node.receive.parser import HeaderParser
from node.service.commitments import commitment_taker
from node.service.compose import compose
from tests.deliver_fixtures import COMMITMENT, COMMITMENT_INSTANCE, AnArchive, an_archive, an_object
from tests.receive_fixtures import Desk, a_desk_in, listening
from tests.waiting import wait_for

BOTH = ["proven", "proven"]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.deliver.deliver.READ_BACK_WAITS_S", (0.01, 0.01))
    monkeypatch.setattr("node.deliver.deliver.Timeouts", lambda: Timeouts(commitment_s=0.4))


@dataclass
class Node:
    """A receiver and a sender on one database, with a job of two objects to deliver."""

    desk: Desk
    archive: AnArchive
    port: int
    engine: DbosEngine
    uids: list[str]
    job: int

    def states(self) -> list[str]:
        with self.desk.engine.connect() as connection:
            return list(connection.scalars(select(Delivery.state).order_by(Delivery.id)))

    def job_state(self) -> str:
        with self.desk.engine.connect() as connection:
            return str(connection.scalar(select(Job.state).where(Job.id == self.job)))

    def words(self) -> list[str]:
        with self.desk.engine.connect() as connection:
            return list(
                connection.scalars(select(LedgerDelivery.event).order_by(LedgerDelivery.id))
            )

    def asked(self) -> int:
        with self.desk.engine.connect() as connection:
            return len(set(connection.scalars(select(Commitment.transaction_root))))

    def comes_to(self, what: Callable[[], bool]) -> None:
        wait_for(
            what, lambda: f"deliveries {self.states()}, job {self.job_state()}: {self.words()}"
        )

    def begin(self) -> None:
        with self.desk.engine.begin() as connection:
            self.engine.enqueue(connection, delivery(self.job, 0, "pacs"))

    def copies(self) -> list[int]:
        received = [uid for uid, _ in self.archive.received]
        return [received.count(uid) for uid in self.uids]


@contextmanager
def a_node(
    folder: Path,
    parser: HeaderParser,
    *,
    wait_s: float = 30.0,
    verify: str = "commitment",
    **behaviour: object,
) -> Iterator[Node]:
    """Port and sender of a node whose one destination answers on an association of its own."""
    behaviour.setdefault("commits", "reverse")
    with an_archive(**behaviour) as archive:  # type: ignore[arg-type]
        desk = a_desk_in(folder, parser)
        migrate(desk.engine)
        settings = Settings.model_validate(
            desk.settings.model_dump() | {"destination": [archive.destination(verify).model_dump()]}
        )
        stages = replace(
            compose(settings),
            retry_after=lambda _, receipts: (
                None if all(one.state == "proven" for one in receipts) else wait_s
            ),
        )
        engine = DbosEngine(desk.engine, "one")
        trail = Trail("test")
        book = PledgeBook(desk.engine, trail, engine)
        taker = commitment_taker(settings, Committer(desk.engine, trail, engine), book)
        engine.start(
            {"delivery": Deliverer(desk.engine, trail, engine, stages, desk.blobs)}, {"delivery": 2}
        )
        try:
            with listening(desk, commitments=taker) as (_, port):
                archive.reverse_port = port
                job, uids = a_job(desk, folder)
                yield Node(desk, archive, port, engine, uids, job)
                for thread in archive.threads:
                    thread.join(10)
        finally:
            engine.stop(5)


def a_job(desk: Desk, folder: Path) -> tuple[int, list[str]]:
    """A job that delivers two objects to `pacs`."""
    now = utc_now()
    objects = [an_object(folder), an_object(folder, 2)]
    with desk.engine.begin() as connection:
        job = connection.execute(
            insert(Job)
            .values(
                seg_uid="1.2.9",
                generation=1,
                state="delivering",
                reason="",
                patient_id="P1",
                study_instance_uid="2.25.1",
                cases={"cases": []},
                created_at=now,
                updated_at=now,
            )
            .returning(Job.id)
        ).scalar_one()
        for number, one in enumerate(objects):
            blob = desk.blobs.put(one.path.read_bytes())
            report = connection.execute(
                insert(Report)
                .values(
                    job_id=job,
                    kind=f"sc-{number}",
                    sop_class_uid=one.sop_class_uid,
                    sop_instance_uid=one.sop_instance_uid,
                    size=blob.size,
                    created_at=now,
                    series_instance_uid=one.series_instance_uid,
                    blob_sha256=blob.sha256,
                    study_instance_uid=one.study_instance_uid,
                )
                .returning(Report.id)
            ).scalar_one()
            connection.execute(
                insert(Delivery).values(
                    report_id=report,
                    job_id=job,
                    destination="pacs",
                    state="pending",
                    updated_at=now,
                )
            )
    return job, [one.sop_instance_uid for one in objects]


def a_result(node: Node, title: str, transaction: str) -> int:
    """Report by hand that both objects are committed; return the status of the answer."""
    report = Dataset()
    report.TransactionUID = transaction
    report.ReferencedSOPSequence = []
    for uid in node.uids:
        item = Dataset()
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.22"
        item.ReferencedSOPInstanceUID = uid
        report.ReferencedSOPSequence.append(item)
    entity = AE(title)
    entity.add_requested_context(COMMITMENT)
    role = build_role(COMMITMENT, scu_role=False, scp_role=True)
    association = entity.associate("127.0.0.1", node.port, ae_title="CRDL", ext_neg=[role])
    status, _ = association.send_n_event_report(report, 1, COMMITMENT, COMMITMENT_INSTANCE)
    association.release()
    return int(status.Status)


@pytest.mark.parametrize("late_s", [0.0, 1.0])
def test_a_result_while_the_attempt_waits_or_after_it_ends_the_job(
    tmp_path: Path, a_parser: HeaderParser, late_s: float
) -> None:
    with a_node(tmp_path, a_parser, late_s=late_s) as node:
        node.begin()
        node.comes_to(lambda: node.job_state() == "refused")  # it has no finding: done otherwise
        assert node.states() == BOTH
    assert node.archive.report_statuses == [0x0000]
    assert node.copies() == [1, 1]
    assert node.words().count("proven") == 2


def test_a_result_that_comes_twice_proves_once(tmp_path: Path, a_parser: HeaderParser) -> None:
    with a_node(tmp_path, a_parser, times=2, late_s=0.6) as node:
        node.begin()
        node.comes_to(lambda: len(node.archive.report_statuses) == 2)
    assert node.archive.report_statuses == [0x0000, 0x0000]
    assert (node.states(), node.words().count("proven")) == (BOTH, 2)
    assert node.words().count("commitment") == 2


def test_only_what_the_archive_has_lost_is_sent_again(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser, wait_s=1.0, loses={"2.25.1002": 1}) as node:
        node.begin()
        node.comes_to(lambda: node.states() == BOTH)
    assert node.copies() == [1, 2]


def test_without_a_result_commitment_is_requested_anew_and_nothing_is_sent_again(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser, wait_s=0.05, commits="never") as node:
        node.begin()
        node.comes_to(lambda: node.asked() >= 3)
        assert node.states() == ["sent", "sent"]
        assert node.copies() == [1, 1]
        node.archive.commits = "reverse"
        node.comes_to(lambda: node.states() == BOTH)
        assert node.copies() == [1, 1]


def test_the_answer_to_an_early_request_counts_after_later_ones(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser, wait_s=0.05, commits="never") as node:
        node.begin()
        node.comes_to(lambda: node.asked() >= 2)
        with node.desk.engine.connect() as connection:
            query = select(Commitment.transaction_root).order_by(Commitment.asked_at).limit(1)
            first = connection.scalar(query)
        assert a_result(node, "ARCHIVE", f"{first}.1") == 0x0000
        assert node.states() == BOTH


@pytest.mark.parametrize(
    ("title", "status", "word"),
    [("ARCHIVE", 0x0115, ["unknown-commitment"]), ("STRANGER", 0x0110, [])],
)
def test_an_unknown_transaction_and_a_stranger_prove_nothing(
    tmp_path: Path, a_parser: HeaderParser, title: str, status: int, word: list[str]
) -> None:
    with a_node(tmp_path, a_parser) as node:
        assert a_result(node, title, "2.25.77.1") == status
        assert (node.states(), node.words()) == (["pending", "pending"], word)


def test_a_stranger_proves_nothing_even_if_it_knows_the_transaction(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser, commits="never") as node:
        node.begin()
        node.comes_to(lambda: node.states() == ["sent", "sent"])
        with node.desk.engine.connect() as connection:
            root = connection.scalar(select(Commitment.transaction_root))
        assert a_result(node, "STRANGER", f"{root}.1") == 0x0110
        assert node.states() == ["sent", "sent"]


@pytest.mark.parametrize("verify", ["commitment", "query"])
def test_a_pacs_that_says_success_and_drops_the_object_is_caught(
    tmp_path: Path, a_parser: HeaderParser, verify: str
) -> None:
    with a_node(tmp_path, a_parser, verify=verify, wait_s=0.3, keeps=False) as node:
        node.begin()
        node.comes_to(lambda: min(node.copies()) >= 2)  # sent again, as it has nothing
        assert not set(node.states()) & {"proven"}


def test_a_result_for_a_job_that_was_cancelled_changes_nothing(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser, late_s=1.0) as node:
        node.begin()
        node.comes_to(lambda: node.states() == ["sent", "sent"])
        with node.desk.engine.begin() as connection:
            connection.execute(update(Delivery).values(state="dead"))
            connection.execute(update(Job).values(state="dead"))
        node.comes_to(lambda: node.words().count("commitment") == 2)
        assert (node.states(), node.job_state()) == (["dead", "dead"], "dead")
