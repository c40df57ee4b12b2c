"""The row of a study: made by the database when an instance is kept, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine, insert, select

from node.audit.tables import Instance, Study
from node.case import InstanceHeader
from node.database import open_engine, utc_now
from tests.factories import STUDY, an_image
from tests.jobs_fixtures import DATABASES, a_database


@pytest.fixture(scope="module", params=DATABASES)
def an_archive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    with a_database(request.param, tmp_path_factory.mktemp("studies")) as url:
        engine = open_engine(url)
        yield engine
        engine.dispose()


def _keep(archive: Engine, header: InstanceHeader, standing: str = "current") -> None:
    with archive.begin() as connection:
        connection.execute(
            insert(Instance).values(
                sop_instance_uid=header.sop_instance_uid,
                version=_versions(archive, header) + 1,
                standing=standing,
                sop_class_uid=header.sop_class_uid,
                study_instance_uid=header.study_instance_uid,
                series_instance_uid=header.series_instance_uid,
                modality=header.modality,
                patient_id=header.patient_id,
                blob_sha256="0" * 64,
                size=1,
                header=header.to_json(),
                source="US1",
                received_at=utc_now(),
            )
        )


def _versions(archive: Engine, header: InstanceHeader) -> int:
    mine = Instance.sop_instance_uid == header.sop_instance_uid
    with archive.connect() as connection:
        return len(connection.scalars(select(Instance.version).where(mine)).all())


def _study(archive: Engine, uid: str) -> tuple[str, ...] | None:
    query = select(
        Study.patient_id, Study.patient_name, Study.name_key, Study.accession_number
    ).where(Study.study_instance_uid == uid)
    with archive.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else tuple(row)


def _an_image(study: str, instance: str, **header: str) -> InstanceHeader:
    return replace(
        an_image(), study_instance_uid=study, sop_instance_uid=f"{study}.{instance}", **header
    )


def test_the_first_instance_makes_the_study(an_archive: Engine) -> None:
    image = _an_image(f"{STUDY}.1", "1", patient_id="P1", patient_name="Doe^Jane")
    _keep(an_archive, image)
    assert _study(an_archive, f"{STUDY}.1") == ("P1", "Doe^Jane", "doe jane", "")


def test_a_later_instance_fills_in_and_changes_nothing(an_archive: Engine) -> None:
    study = f"{STUDY}.2"
    _keep(an_archive, _an_image(study, "1", patient_id="P2", patient_name=""))
    _keep(an_archive, _an_image(study, "2", patient_id="P9", patient_name="Roe^Richard"))
    assert _study(an_archive, study) == ("P2", "Roe^Richard", "roe richard", "")


def test_a_corrected_version_corrects_the_study(an_archive: Engine) -> None:
    study = f"{STUDY}.3"
    _keep(an_archive, _an_image(study, "1", patient_id="WRONG", accession_number="A1"))
    _keep(an_archive, _an_image(study, "1", patient_id="P3", accession_number=""))
    found = _study(an_archive, study)
    assert found is not None
    assert (found[0], found[3]) == ("P3", "A1")


@pytest.mark.parametrize("standing", ["own", "conflict"])
def test_what_is_not_used_makes_no_study(an_archive: Engine, standing: str) -> None:
    study = f"{STUDY}.4.{len(standing)}"
    _keep(an_archive, _an_image(study, "1"), standing)
    assert _study(an_archive, study) is None
