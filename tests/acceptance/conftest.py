"""A node beside a real Orthanc, for as long as a module of acceptance tests runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pydicom.uid import Comprehensive3DSRStorage, SecondaryCaptureImageStorage

from tests.node_process import RunningNode, a_node
from tests.peers import Orthanc, orthanc

SR, SC = Comprehensive3DSRStorage, SecondaryCaptureImageStorage


@dataclass(frozen=True)
class Site:
    """A hospital in small: a node that delivers to one Orthanc by DIMSE and to one by STOW-RS."""

    node: RunningNode
    pacs: Orthanc
    web_archive: Orthanc


@pytest.fixture(scope="module")
def a_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with (
        orthanc(folder / "pacs") as pacs,
        orthanc(folder / "web-archive", ae_title="WEBARCHIVE") as web_archive,
        a_node(
            folder / "node",
            [
                {
                    "name": "pacs",
                    "protocol": "dimse",
                    "ae_title": pacs.ae_title,
                    "host": pacs.host,
                    "port": pacs.dicom_port,
                },
                {"name": "web", "protocol": "dicomweb", "url": web_archive.dicomweb_url},
            ],
            "[pairing]\nunreferenced_quiet_s = 2\n",
        ) as node,
    ):
        yield Site(node, pacs, web_archive)
