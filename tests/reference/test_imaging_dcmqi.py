"""Segmentations written by dcmqi, as 3D Slicer users send them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread

from models.imaging.masks import largest_frame, read_masks
from tests.imaging_fixtures import a_disc, a_gradient, an_ultrasound
from tests.peers import require

SHAPE = (63, 95)


def a_code(value: str, meaning: str) -> dict[str, str]:
    return {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning}


def a_description(label: int) -> dict[str, object]:
    return {
        "labelID": label,
        "SegmentDescription": f"Lesion {label}",
        "SegmentAlgorithmType": "MANUAL",
        "SegmentedPropertyCategoryCodeSequence": a_code(
            "49755003", "Morphologically Altered Structure"
        ),
        "SegmentedPropertyTypeCodeSequence": a_code("4147007", "Mass"),
    }


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_a_segmentation_by_dcmqi_is_read_pixel_by_pixel(kind: str, tmp_path: Path) -> None:
    writer = require("itkimage2segimage")
    labels = np.zeros((1, *SHAPE), dtype=np.uint8)
    labels[0][a_disc(SHAPE, (20, 30), 9.5)] = 1
    labels[0][a_disc(SHAPE, (45, 70), 12.2)] = 2
    image = SimpleITK.GetImageFromArray(labels)
    SimpleITK.WriteImage(image, str(tmp_path / "labels.nrrd"))
    an_ultrasound(a_gradient(*SHAPE)).save_as(tmp_path / "us.dcm", enforce_file_format=True)
    metadata = {
        "ContentCreatorName": "Reader",
        "SeriesDescription": "Lesions",
        "SeriesNumber": "9",
        "InstanceNumber": "1",
        "segmentAttributes": [[a_description(1), a_description(2)]],
    }
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    arguments = {
        "--inputImageList": tmp_path / "labels.nrrd",
        "--inputDICOMList": tmp_path / "us.dcm",
        "--inputMetadata": tmp_path / "metadata.json",
        "--outputDICOM": tmp_path / "seg.dcm",
        "--referencesGeometryCheck": "0",
        "--segmentationType": kind,
    }
    command = [str(writer), *(str(word) for pair in arguments.items() for word in pair)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    masks = read_masks(dcmread(tmp_path / "seg.dcm"))
    assert [mask.segment_number for mask in masks] == [1, 2]
    assert [mask.source for mask in masks] == [None, None], "dcmqi says nothing about 2D sources"
    for number in (1, 2):
        np.testing.assert_array_equal(largest_frame(masks, number).mask, labels[0] == number)
