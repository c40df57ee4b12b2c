"""A node's database and blobs with a little work in them, ready to be backed up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, insert, select

from node.audit import schema
from node.audit.chain import Chainer
from node.audit.seal import Sealer
from node.audit.tables import Delivery, Instance, Job, JobInstance, Report
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.config import Settings, load_settings
from node.database import open_engine, utc_now
from node.jobs.dbos_engine import migrate

PASSPHRASE = b"correct horse battery"
STUDY = "1.2.826.0.1.3680043.2"


def settings_in(folder: Path, url: str) -> Settings:
    """A node of its own in a folder."""
    return load_settings(None, node={"data_dir": folder / "data"}, database={"url": url})


@dataclass(frozen=True)
class Office:
    """A node's database, blobs and key, without its processes."""

    settings: Settings

    def __post_init__(self) -> None:
        database = self.open()
        schema.upgrade(database)
        database.dispose()

    def prepare_engine(self) -> None:
        """Make the engine's own tables too, as the node does."""
        database = self.open()
        migrate(database)
        database.dispose()

    @property
    def blobs(self) -> BlobStore:
        return BlobStore(self.settings.node.data_dir / "blobs", "test")

    @property
    def sealer(self) -> Sealer:
        return Sealer.from_file(self.settings.audit_key)

    def open(self) -> Engine:
        return open_engine(self.settings.database_url)

    def work(self, first: int, last: int, *, expired: datetime | None = None) -> list[str]:
        """Receive, assess and report some studies; return the hashes of their blobs."""
        database, hashes = self.open(), []
        trail = Trail("work", self.sealer)
        with database.begin() as connection:
            for number in range(first, last):
                seg = f"{STUDY}.{number}"
                kept = self.blobs.put(f"received {number}".encode())
                made = self.blobs.put(f"report {number}".encode())
                values = instance(seg, kept.sha256, kept.size)
                connection.execute(insert(Instance).values(**values))
                trail.record(connection, "instance", "received", seg, {"size": kept.size})
                job = connection.execute(
                    insert(Job)
                    .values(
                        seg_uid=seg,
                        generation=1,
                        state="delivering",
                        study_instance_uid=STUDY,
                        patient_id="Größe^Ä",
                        cases={"cases": [number]},
                        created_at=utc_now(),
                        updated_at=utc_now(),
                        expired_at=expired,
                    )
                    .returning(Job.id)
                ).scalar_one()
                connection.execute(insert(JobInstance).values(job_id=job, sop_instance_uid=seg))
                report = connection.execute(
                    insert(Report)
                    .values(
                        job_id=job,
                        kind="sr",
                        sop_class_uid="1.2",
                        sop_instance_uid=f"2.25.{number}",
                        series_instance_uid="2.25",
                        study_instance_uid=STUDY,
                        blob_sha256=made.sha256,
                        size=made.size,
                        created_at=utc_now(),
                    )
                    .returning(Report.id)
                ).scalar_one()
                connection.execute(
                    insert(Delivery).values(
                        report_id=report,
                        job_id=job,
                        destination="pacs",
                        state="pending",
                        updated_at=utc_now(),
                    )
                )
                trail.record(connection, "report", "made", f"2.25.{number}", {"n": number})
                hashes += [kept.sha256, made.sha256]
        Chainer(database, self.sealer).advance()
        database.dispose()
        return hashes


def instance(seg: str, sha256: str, size: int) -> dict[str, Any]:
    """The row of a received SEG."""
    return {
        "sop_instance_uid": seg,
        "version": 1,
        "standing": "current",
        "sop_class_uid": "1.2",
        "study_instance_uid": STUDY,
        "series_instance_uid": f"{STUDY}.9",
        "modality": "SEG",
        "patient_id": "Größe^Ä",
        "blob_sha256": sha256,
        "size": size,
        "header": {"Rows": 3},
        "source": "US1",
        "received_at": utc_now(),
    }


def every_row(database: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in every table of ours and of the engine, as the database has it."""
    found = {}
    for name in (None, "dbos") if database.dialect.name == "postgresql" else (None,):
        metadata = MetaData(schema=name)
        metadata.reflect(database)
        with database.connect() as connection:
            for table in metadata.sorted_tables:
                rows = connection.execute(select(table)).all()
                found[table.fullname] = sorted((tuple(row) for row in rows), key=repr)
    return found
