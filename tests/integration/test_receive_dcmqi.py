"""A SEG as dcmqi writes it for ultrasound: no reference to any image, only the study and size."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import examples

from node.pair.matching import fitting_images
from node.receive.header import read_header
from tests.peers import require

SEGMENT = {
    "labelID": 1,
    "SegmentLabel": "Lesion",
    "SegmentDescription": "Lesion",
    "SegmentAlgorithmType": "MANUAL",
    "SegmentedPropertyCategoryCodeSequence": {
        "CodeValue": "49755003",
        "CodingSchemeDesignator": "SCT",
        "CodeMeaning": "Morphologically Abnormal Structure",
    },
    "SegmentedPropertyTypeCodeSequence": {
        "CodeValue": "4147007",
        "CodingSchemeDesignator": "SCT",
        "CodeMeaning": "Mass",
    },
}


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a mask (rows, columns) as a NRRD volume of one slice."""
    rows, columns = mask.shape
    head = (
        "NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {columns} {rows} 1\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
        "kinds: domain domain domain\nencoding: raw\nspace origin: (0,0,0)\n\n"
    )
    path.write_bytes(head.encode() + mask.astype(np.uint8).tobytes())


@pytest.mark.peers
def test_a_seg_of_dcmqi_fits_its_image_by_study_and_size(tmp_path: Path) -> None:
    program = require("itkimage2segimage")
    image = tmp_path / "us.dcm"
    shutil.copy(str(examples.get_path("rgb_color")), image)
    header = read_header(image)
    mask = np.zeros((header.rows, header.columns))
    mask[50:90, 60:120] = 1
    write_mask(tmp_path / "mask.nrrd", mask)
    description = {
        "ContentCreatorName": "Reader1",
        "SeriesDescription": "Segmentation",
        "SeriesNumber": "300",
        "InstanceNumber": "1",
        "segmentAttributes": [[SEGMENT]],
    }
    (tmp_path / "meta.json").write_text(json.dumps(description))
    subprocess.run(
        [
            program,
            *("--inputDICOMList", image, "--inputImageList", tmp_path / "mask.nrrd"),
            *("--inputMetadata", tmp_path / "meta.json"),
            *("--outputDICOM", tmp_path / "seg.dcm", "--referencesGeometryCheck", "0"),
        ],
        check=True,
        capture_output=True,
    )
    seg = read_header(tmp_path / "seg.dcm")
    (segment,) = seg.segments
    assert (segment.label, segment.sources) == ("Lesion", ())
    assert seg.content_creator_name == "Reader1"
    assert fitting_images(seg, [header]) == (header.sop_instance_uid,)
