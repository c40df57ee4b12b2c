"""The lean sender's images are what they say, and its latencies are counted right."""

from __future__ import annotations

from io import BytesIO

from pydicom import dcmread
from pydicom.uid import UltrasoundImageStorage

from node.bench.images import CLIP, STILL, Identity
from node.bench.latency import quantile


def test_a_still_has_half_a_megabyte_and_the_uids_it_is_given() -> None:
    identity = Identity.of(run=7, number=41)
    image = STILL.encoded
    head = image.data_set[: image.head_bytes]
    for old, new in identity.renaming.items():
        head = head.replace(old, new)
    dataset = dcmread(BytesIO(head + image.data_set[image.head_bytes :]), force=True)
    assert dataset.SOPClassUID == UltrasoundImageStorage
    assert dataset.SOPInstanceUID == identity.instance
    assert dataset.StudyInstanceUID == identity.study
    assert dataset.SeriesInstanceUID == identity.series
    assert len(dataset.PixelData) == dataset.Rows * dataset.Columns
    assert 500_000 < len(image.data_set) < 530_000


def test_every_image_of_every_run_has_a_name_of_its_own() -> None:
    names = {Identity.of(run, number).instance for run in range(5) for number in range(50)}
    assert len(names) == 250
    assert Identity.of(1, 0).study == Identity.of(1, 19).study != Identity.of(1, 20).study


def test_a_clip_has_sixty_megabytes() -> None:
    assert 60_000_000 < CLIP.frames * 640 * 800 < 61_000_000


def test_a_quantile_is_a_value_that_was_measured() -> None:
    waits = [float(number) for number in range(1, 101)]
    assert quantile(waits, 0.50) == 50
    assert quantile(waits, 0.95) == 95
    assert quantile(waits, 0.99) == 99
    assert quantile(waits, 1.0) == 100
    assert quantile([3.0], 0.5) == 3
    assert quantile([], 0.5) is None
