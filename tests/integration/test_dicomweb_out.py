"""dicomweb-client finds and fetches what the node holds, byte for byte."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame

from deploy.demo.studies import real_studies
from node.audit.trail import Trail
from node.receive.stow import StowService
from node.web.app import create_app
from tests.acceptance.studies import a_study
from tests.receive_fixtures import Desk


@dataclass(frozen=True)
class Archive:
    """A node's web side with some instances in it."""

    url: str
    client: DICOMwebClient
    files: dict[str, Path]

    def stored(self, uid: str) -> Dataset:
        return dcmread(self.files[uid])


@pytest.fixture
def an_archive(a_desk: Desk, tmp_path: Path) -> Iterator[Archive]:
    app = create_app(
        a_desk.settings,
        StowService(a_desk.inbox).store,
        a_desk.engine,
        {},
        a_desk.inbox.blobs,
        Trail("web"),
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        pass
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/dicom-web"
    client = DICOMwebClient(url)
    paths = [*a_study(tmp_path / "simulated", 1).files]
    for study in real_studies(tmp_path / "real"):
        paths += study.files
    client.store_instances([dcmread(path) for path in paths])
    files = {str(dcmread(path).SOPInstanceUID): path for path in paths}
    yield Archive(url, client, files)
    server.should_exit = True
    thread.join()


def keys(dataset: Dataset) -> tuple[str, str, str]:
    return (
        str(dataset.StudyInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.SOPInstanceUID),
    )


def test_everything_that_was_stored_is_found_at_every_level(an_archive: Archive) -> None:
    stored = [an_archive.stored(uid) for uid in an_archive.files]
    studies = an_archive.client.search_for_studies()
    assert {s["0020000D"]["Value"][0] for s in studies} == {str(d.StudyInstanceUID) for d in stored}
    instances = an_archive.client.search_for_instances()
    assert {i["00080018"]["Value"][0] for i in instances} == set(an_archive.files)
    series = an_archive.client.search_for_series()
    assert {s["0020000E"]["Value"][0] for s in series} == {str(d.SeriesInstanceUID) for d in stored}


def test_a_study_says_its_counts_and_modalities(an_archive: Archive) -> None:
    uid, *_ = keys(an_archive.stored(next(iter(an_archive.files))))
    own = [d for d in map(an_archive.stored, an_archive.files) if uid == d.StudyInstanceUID]
    (found,) = an_archive.client.search_for_studies(search_filters={"StudyInstanceUID": uid})
    answer = Dataset.from_json(found)
    assert answer.NumberOfStudyRelatedInstances == len(own)
    assert answer.NumberOfStudyRelatedSeries == len({d.SeriesInstanceUID for d in own})
    assert set(answer.ModalitiesInStudy) == {d.Modality for d in own}
    assert answer.PatientName == own[0].PatientName


def test_searches_match_as_dicom_says(an_archive: Archive) -> None:
    one = an_archive.stored(next(iter(an_archive.files)))
    name = str(one.PatientName)
    search = an_archive.client.search_for_studies
    for filters, hit in (
        ({"PatientID": one.PatientID}, True),
        ({"PatientID": "NOBODY"}, False),
        ({"PatientName": name.lower()[:3] + "*"}, True),
        ({"PatientName": "?" * len(name)}, True),
        ({"PatientName": "zz*"}, False),
        ({"StudyDate": f"{one.StudyDate}-"}, True),
        ({"StudyDate": f"-{int(one.StudyDate) - 1}"}, False),
        ({"ModalitiesInStudy": "SEG"}, True),
        ({"ModalitiesInStudy": "CT"}, False),
    ):
        found = search(search_filters={"StudyInstanceUID": one.StudyInstanceUID} | filters)
        assert bool(found) is hit, filters


def test_results_come_in_pages(an_archive: Archive) -> None:
    search = an_archive.client.search_for_instances
    pages = [search(limit=2, offset=offset) for offset in (0, 2)]
    uids = [row["00080018"]["Value"][0] for page in pages for row in page]
    assert len(set(uids)) == 4


def test_an_instance_comes_back_byte_for_byte(an_archive: Archive) -> None:
    for uid, path in an_archive.files.items():
        stored = dcmread(path)
        found = an_archive.client.retrieve_instance(*keys(stored))
        assert found == stored, uid
        assert found.file_meta.TransferSyntaxUID == stored.file_meta.TransferSyntaxUID


def test_metadata_says_everything_but_the_pixels(an_archive: Archive) -> None:
    for uid in an_archive.files:
        stored = an_archive.stored(uid)
        found = Dataset.from_json(an_archive.client.retrieve_instance_metadata(*keys(stored)))
        assert found.SOPClassUID == stored.SOPClassUID
        assert "PixelData" in found
        assert found.keys() == {element.tag for element in stored if element.tag <= 0x7FE00010}


def test_frames_are_those_of_the_file(an_archive: Archive) -> None:
    seen = set()
    for uid in an_archive.files:
        stored = an_archive.stored(uid)
        if "PixelData" not in stored or stored.get("BitsAllocated") == 1:
            continue
        count = int(stored.get("NumberOfFrames", 1))
        (frame,) = an_archive.client.retrieve_instance_frames(*keys(stored), [count])
        if stored.file_meta.TransferSyntaxUID.is_encapsulated:
            expected = get_frame(stored.PixelData, count - 1, number_of_frames=count)
        else:
            size = len(stored.PixelData) // count
            expected = stored.PixelData[-size:] if count > 1 else stored.PixelData[: len(frame)]
        assert frame == expected, uid
        seen.add(stored.file_meta.TransferSyntaxUID.is_encapsulated)
    assert seen == {True, False}


def test_a_frame_is_rendered_for_a_browser(an_archive: Archive) -> None:
    uid = next(u for u in an_archive.files if an_archive.stored(u).Modality == "US")
    stored = an_archive.stored(uid)
    study, series, instance = keys(stored)
    url = f"{an_archive.url}/studies/{study}/series/{series}/instances/{instance}"
    page = Image.open(io.BytesIO(httpx.get(f"{url}/rendered").content))
    assert page.size == (stored.Columns, stored.Rows)
    assert np.asarray(page).std() > 1
    small = httpx.get(f"{url}/frames/1/thumbnail", headers={"Accept": "image/jpeg"})
    assert small.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(small.content)).size) <= 160


REFUSALS = (
    ("/studies/9.9", "*/*", 404),
    ("/studies/9.9/metadata", "*/*", 404),
    ("/studies?limit=many", "*/*", 400),
    ("/studies?NoSuchAttribute=1", "*/*", 400),
    ("{instance}", "image/png", 406),
    ("{instance}", 'multipart/related; type="application/dicom"; transfer-syntax=1.9', 406),
    ("{instance}/frames/99999", "*/*", 400),
    ("{instance}/frames/0", "*/*", 400),
    ("{instance}/frames/x", "*/*", 400),
    ("{instance}/bulkdata/zz", "*/*", 404),
    ("/studies?PatientID=NOBODY", "*/*", 204),
)


def test_what_cannot_be_answered_is_said(an_archive: Archive) -> None:
    uid = next(u for u in an_archive.files if an_archive.stored(u).Modality == "US")
    study, series, instance = keys(an_archive.stored(uid))
    one = f"/studies/{study}/series/{series}/instances/{instance}"
    for path, accept, status in REFUSALS:
        url = an_archive.url + path.replace("{instance}", one)
        answer = httpx.get(url, headers={"Accept": accept})
        assert answer.status_code == status, (path, answer.text)
