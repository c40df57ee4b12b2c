"""A decoder that aborts, hangs or eats memory costs its frame, and nobody else anything."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from models.imaging.decoders import CODECS, MODULE, decode_array
from models.imaging.errors import PixelBudgetError, UndecodablePixelsError
from models.imaging.isolated import DECODER, DecodingBrokenError, IsolatedDecoder
from models.imaging.read import read_frame
from tests.imaging_fixtures import (
    a_compressed_ultrasound,
    a_gradient,
    an_ultrasound,
    with_encoded_frame,
)


@pytest.fixture
def a_decoder() -> Iterator[IsolatedDecoder]:
    decoder = IsolatedDecoder(deadline_s=1.0)
    yield decoder
    decoder.stop()


def asked_of(dataset: Dataset) -> tuple[dict[str, object], bytes]:
    """Return what a decoder is asked about an image's first frame."""
    described = {keyword: dataset.get(keyword) for keyword in MODULE}
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    return {"transfer_syntax": syntax, **described}, frame


def process_of(decoder: IsolatedDecoder) -> psutil.Process:
    assert decoder._process is not None
    return psutil.Process(decoder._process.pid)


@pytest.fixture
def an_image() -> Dataset:
    return a_compressed_ultrasound(a_gradient(), JPEGLSLossless)


def test_frames_come_out_of_one_process_as_they_went_in(
    a_decoder: IsolatedDecoder, an_image: Dataset
) -> None:
    first = a_decoder.decode(*asked_of(an_image))
    process = process_of(a_decoder)
    second = a_decoder.decode(*asked_of(an_image))
    assert np.array_equal(first, a_gradient())
    assert np.array_equal(second, first)
    assert process_of(a_decoder) == process


def test_a_decoder_that_hangs_is_replaced_at_the_deadline(
    a_decoder: IsolatedDecoder, an_image: Dataset
) -> None:
    a_decoder.decode(*asked_of(an_image))
    hanging = process_of(a_decoder)
    hanging.suspend()
    with pytest.raises(DecodingBrokenError, match="longer than 1 s"):
        a_decoder.decode(*asked_of(an_image))
    assert not hanging.is_running()
    a_decoder._deadline_s = 30.0  # the new process starts on a busy machine
    assert np.array_equal(a_decoder.decode(*asked_of(an_image)), a_gradient())


def test_a_decoder_that_aborts_is_replaced(a_decoder: IsolatedDecoder, an_image: Dataset) -> None:
    a_decoder.decode(*asked_of(an_image))
    a_decoder._deadline_s = 30.0
    aborting = process_of(a_decoder)
    aborting.suspend()
    threading.Timer(0.2, os.kill, (aborting.pid, signal.SIGABRT)).start()
    threading.Timer(0.3, os.kill, (aborting.pid, signal.SIGCONT)).start()
    with pytest.raises(DecodingBrokenError, match="broke down"):
        a_decoder.decode(*asked_of(an_image))
    assert np.array_equal(a_decoder.decode(*asked_of(an_image)), a_gradient())


def test_a_decoder_that_died_between_two_frames_is_not_missed(
    a_decoder: IsolatedDecoder, an_image: Dataset
) -> None:
    a_decoder.decode(*asked_of(an_image))
    process_of(a_decoder).kill()
    process_of(a_decoder).wait(5)
    assert np.array_equal(a_decoder.decode(*asked_of(an_image)), a_gradient())


def test_the_process_ends_with_its_owner(an_image: Dataset) -> None:
    decoder = IsolatedDecoder()
    decoder.decode(*asked_of(an_image))
    process = process_of(decoder)
    assert decoder._channel is not None
    decoder._channel.close()
    assert process.wait(5) == 0
    decoder.stop()


def test_a_forked_process_has_a_decoder_of_its_own(
    a_decoder: IsolatedDecoder, an_image: Dataset
) -> None:
    a_decoder.decode(*asked_of(an_image))
    a_decoder._owner = os.getppid()  # as a child process sees it that was forked from this one
    mine = process_of(a_decoder)
    a_decoder._deadline_s = 30.0
    a_decoder.decode(*asked_of(an_image))
    assert process_of(a_decoder) != mine
    assert mine.is_running()
    mine.kill()


def a_tiled_bomb(tile: int) -> Dataset:
    """Return JPEG 2000 that says that its tiles are single pixels: a structure each."""
    honest = a_compressed_ultrasound(a_gradient(1200, 1200), JPEG2000Lossless)
    frame = bytearray(get_frame(honest.PixelData, 0, number_of_frames=1))
    start = frame.find(b"\xff\x4f\xff\x51")
    struct.pack_into(">II", frame, start + 24, tile, tile)  # XTsiz and YTsiz, T.800 table A.9
    return with_encoded_frame(
        an_ultrasound(a_gradient(1200, 1200)), bytes(frame), JPEG2000Lossless, "MONOCHROME2"
    )


def test_a_bomb_of_tiles_is_refused() -> None:
    with pytest.raises(UndecodablePixelsError):
        read_frame(a_tiled_bomb(1))


def test_runs_without_end_are_refused_for_their_memory() -> None:
    # PS3.5 annex G: two bytes become 128, here 4 GiB of one segment.
    header = struct.pack("<16L", 1, 64, *[0] * 14)
    frame = header + b"\x81\x00" * (32 << 20)
    bomb = with_encoded_frame(an_ultrasound(a_gradient()), frame, RLELossless, "MONOCHROME2")
    before = psutil.Process().memory_info().rss
    started = time.monotonic()
    with pytest.raises(UndecodablePixelsError):
        read_frame(bomb)
    assert time.monotonic() - started < 60
    assert psutil.Process().memory_info().rss - before < 300 << 20
    assert np.array_equal(
        read_frame(a_compressed_ultrasound(a_gradient(), RLELossless)).pixels, a_gradient()
    )


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_a_frame_beyond_the_budget_of_its_codec_is_not_decoded(syntax: str) -> None:
    image = a_compressed_ultrasound(a_gradient(), syntax)
    image.Rows = image.Columns = 1 + int(CODECS[syntax].maximum_pixels ** 0.5)
    with pytest.raises(PixelBudgetError):
        read_frame(image)


def test_a_codestream_of_other_samples_than_the_header_is_refused() -> None:
    image = a_compressed_ultrasound(a_gradient(), JPEGLSLossless)
    image.SamplesPerPixel, image.PlanarConfiguration = 3, 0
    image.PhotometricInterpretation = "RGB"
    with pytest.raises(UndecodablePixelsError, match="3 samples a pixel, the codestream 1"):
        read_frame(image)


def test_uncompressed_frames_need_no_process() -> None:
    DECODER.stop()
    decode_array(an_ultrasound(a_gradient()), 0)
    assert DECODER._process is None


def test_the_limit_of_the_process_is_what_it_says(
    a_decoder: IsolatedDecoder, an_image: Dataset
) -> None:
    a_decoder.decode(*asked_of(an_image))
    limits = Path(f"/proc/{process_of(a_decoder).pid}/limits").read_text()
    (line,) = (line for line in limits.splitlines() if line.startswith("Max address space"))
    assert 1 << 30 < int(line.split()[3]) < 3 << 30
