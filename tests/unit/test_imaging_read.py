from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, uid
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame
from pydicom.pixels.utils import compress
from pydicom.uid import (
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

from models.imaging.codestream import codestream_size
from models.imaging.decoders import CODECS
from models.imaging.errors import (
    FrameNumberError,
    ImagingError,
    PixelBudgetError,
    UndecodablePixelsError,
    VideoNotSupportedError,
)
from models.imaging.read import VIDEO_TRANSFER_SYNTAXES, read_frame
from tests.imaging_fixtures import (
    a_baseline_jpeg,
    a_colour_gradient,
    a_compressed_ultrasound,
    a_gradient,
    an_ultrasound,
    with_encoded_frame,
)

# The picture that pydicom's SC_rgb files share, from top to bottom.
COLOUR_BARS = np.array(
    [
        [255, 0, 0],
        [255, 128, 128],
        [0, 255, 0],
        [128, 255, 128],
        [0, 0, 255],
        [128, 128, 255],
        [0, 0, 0],
        [64, 64, 64],
    ]
)
VECTORS = Path(__file__).parents[1] / "reference" / "imaging"


def a_wheel_file(name: str) -> Dataset:
    return dcmread(get_testdata_file(name, download=False))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_uncompressed_grey_is_read_as_stored(syntax: str) -> None:
    dataset = an_ultrasound(a_gradient())
    dataset.file_meta.TransferSyntaxUID = syntax
    frame = read_frame(dataset)
    assert not frame.is_colour
    np.testing.assert_array_equal(frame.pixels, a_gradient())


def test_big_endian_sixteen_bit_grey_is_read_in_order() -> None:
    pixels = a_gradient().astype(np.uint16) * 257
    dataset = an_ultrasound(pixels)
    dataset.PixelData = pixels.astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    frame = read_frame(dataset)
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert frame.bits == 16


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("pixels", [a_gradient(), a_colour_gradient()], ids=["grey", "colour"])
def test_a_lossless_round_trip_changes_nothing(syntax: str, pixels: np.ndarray) -> None:
    frame = read_frame(a_compressed_ultrasound(pixels, syntax))
    np.testing.assert_array_equal(frame.pixels, pixels)


@pytest.mark.parametrize(
    ("name", "pixels", "photometric"),
    [("grey_24x32", "grey", "MONOCHROME2"), ("rgb_24x32", "colour", "YBR_RCT")],
)
def test_htj2k_is_decoded(name: str, pixels: str, photometric: str) -> None:
    grey = a_gradient(24, 32)
    row = np.indices(grey.shape)[0]
    expected = grey
    if pixels == "colour":
        expected = np.stack([grey, 255 - grey, (10 * row % 256).astype(np.uint8)], axis=-1)
    dataset = an_ultrasound(expected)
    encoded = (VECTORS / f"{name}.htj2k").read_bytes()
    frame = read_frame(with_encoded_frame(dataset, encoded, HTJ2KLossless, photometric))
    np.testing.assert_array_equal(frame.pixels, expected)


def test_jpeg_baseline_with_subsampled_chroma_comes_back_as_rgb() -> None:
    frame = read_frame(a_baseline_jpeg(a_colour_gradient(64, 48)))
    difference = np.abs(frame.pixels.astype(int) - a_colour_gradient(64, 48))
    assert np.percentile(difference, 99) <= 6


def test_jpeg_extended_with_twelve_bits_is_decoded() -> None:
    frame = read_frame(a_wheel_file("JPGExtended.dcm"))
    assert (frame.shape, frame.bits) == ((1024, 256), 12)
    assert 255 < frame.pixels.max() < 4096


def test_jpeg_lossless_of_either_kind_equals_the_uncompressed_image() -> None:
    expected = read_frame(a_wheel_file("SC_rgb_rle.dcm")).pixels
    dataset = a_wheel_file("SC_rgb_jpeg_gdcm.dcm")
    np.testing.assert_array_equal(read_frame(dataset).pixels, expected)
    dataset.file_meta.TransferSyntaxUID = JPEGLossless
    np.testing.assert_array_equal(read_frame(dataset).pixels, expected)


def test_near_lossless_jpeg_ls_stays_near() -> None:
    pixels = a_gradient()
    dataset = a_compressed_ultrasound(pixels, uid.JPEGLSNearLossless, jls_error=3)
    difference = np.abs(read_frame(dataset).pixels.astype(int) - pixels)
    assert 0 < difference.max() <= 3


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+n1.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_jls_lossy_line.dcm",
        "SC_rgb_jls_lossy_sample.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_jpeg_lossy_gdcm.dcm",
        "SC_rgb_rle.dcm",
        "SC_rgb_rle_16bit.dcm",
        "SC_rgb_rle_32bit.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
    ],
)
def test_colour_bars_keep_their_colours_in_every_encoding(name: str) -> None:
    pixels = read_frame(a_wheel_file(name)).pixels
    assert pixels.dtype == np.uint8
    bars = pixels[5:80:10, 50].astype(int)
    assert np.abs(bars - COLOUR_BARS).max() <= 6


def test_a_palette_image_becomes_rgb_of_full_range() -> None:
    frame = read_frame(a_wheel_file("examples_palette.dcm"))
    assert frame.is_colour
    assert frame.pixels.max() == 255
    # The caption is white: all three channels of its brightest pixel are at the top.
    assert (frame.pixels == 255).all(axis=-1).any()


def test_only_the_frame_asked_for_is_decoded() -> None:
    clip = np.stack([a_gradient(), a_gradient()[::-1], a_gradient()[:, ::-1]])
    dataset = an_ultrasound(clip, frames=3)
    compress(dataset, RLELossless, generate_instance_uid=False)
    for number in (1, 2, 3):
        frame = read_frame(dataset, number)
        assert frame.frame_number == number
        np.testing.assert_array_equal(frame.pixels, clip[number - 1])


@pytest.mark.parametrize("number", [0, 4])
def test_a_frame_that_is_not_there_is_refused(number: int) -> None:
    dataset = an_ultrasound(np.stack([a_gradient()] * 3), frames=3)
    with pytest.raises(FrameNumberError, match="holds 3"):
        read_frame(dataset, number)


def test_monochrome1_is_inverted_so_that_bright_means_echo() -> None:
    dataset = an_ultrasound(a_gradient(), PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_frame(dataset).pixels, 255 - a_gradient())


def test_rescale_and_window_do_not_touch_the_stored_grey_values() -> None:
    dataset = an_ultrasound(
        a_gradient(), RescaleSlope=2, RescaleIntercept=-100, WindowCenter=40, WindowWidth=80
    )
    np.testing.assert_array_equal(read_frame(dataset).pixels, a_gradient())


@pytest.mark.parametrize("syntax", sorted(VIDEO_TRANSFER_SYNTAXES))
def test_video_is_refused_by_name(syntax: str) -> None:
    dataset = an_ultrasound(a_gradient())
    dataset.file_meta.TransferSyntaxUID = syntax
    with pytest.raises(VideoNotSupportedError) as refusal:
        read_frame(dataset)
    assert refusal.value.code == "video"


def test_hevc_counts_as_video() -> None:
    assert uid.HEVCMP51 in VIDEO_TRANSFER_SYNTAXES


def test_a_declared_raster_over_the_budget_is_refused_before_decoding() -> None:
    dataset = an_ultrasound(a_gradient(), Rows=60000, Columns=60000)
    with pytest.raises(PixelBudgetError):
        read_frame(dataset)


def test_a_codestream_that_declares_more_than_its_header_is_refused_before_decoding() -> None:
    dataset = a_compressed_ultrasound(a_gradient(), JPEG2000Lossless)
    start = dataset.PixelData.find(b"\xff\x4f\xff\x51")
    forged = bytearray(dataset.PixelData)
    forged[start + 8 : start + 16] = (60000).to_bytes(4, "big") * 2
    dataset.PixelData = bytes(forged)
    with pytest.raises(PixelBudgetError):
        read_frame(dataset)


def test_a_codestream_of_another_size_is_refused() -> None:
    dataset = a_compressed_ultrasound(a_gradient(), JPEGLSLossless)
    dataset.Rows, dataset.Columns = 32, 192
    with pytest.raises(UndecodablePixelsError, match="codestream 64 x 96"):
        read_frame(dataset)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_a_truncated_codestream_is_refused(syntax: str) -> None:
    dataset = a_compressed_ultrasound(a_colour_gradient(), syntax)
    whole = dataset.PixelData
    dataset.PixelData = whole[:8] + whole[8:60] + bytes(2)
    with pytest.raises(UndecodablePixelsError):
        read_frame(dataset)


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_jpeg_is_refused_and_not_filled_with_grey(kept: float) -> None:
    dataset = a_baseline_jpeg(a_colour_gradient())
    encoded = get_frame(dataset.PixelData, 0, number_of_frames=1)
    part = encoded[: int(kept * len(encoded))]
    with pytest.raises(UndecodablePixelsError, match="truncated"):
        read_frame(with_encoded_frame(dataset, part, uid.JPEGBaseline8Bit, "YBR_FULL_422"))


def a_damaged_stream(dataset: Dataset, rng: np.random.Generator) -> Dataset:
    encoded = bytearray(get_frame(dataset.PixelData, 0, number_of_frames=1))
    for position in rng.integers(0, len(encoded) - 4, 8):
        encoded[position] = rng.integers(256)
    return with_encoded_frame(
        dataset,
        bytes(encoded),
        dataset.file_meta.TransferSyntaxUID,
        dataset.PhotometricInterpretation,
    )


@pytest.mark.parametrize(
    "syntax", [uid.JPEGBaseline8Bit, RLELossless, JPEGLSLossless, JPEG2000Lossless]
)
def test_a_damaged_codestream_never_takes_the_process_down(syntax: str) -> None:
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(40):
        dataset = (
            a_baseline_jpeg(a_colour_gradient())
            if syntax == uid.JPEGBaseline8Bit
            else a_compressed_ultrasound(a_colour_gradient(), syntax)
        )
        try:
            read_frame(a_damaged_stream(dataset, rng))
        except (UndecodablePixelsError, PixelBudgetError):
            refused += 1
    assert refused > 0


def test_no_syntax_is_left_to_the_decoder_that_aborts() -> None:
    assert all("gdcm" not in codec.plugins for codec in CODECS.values())


def test_noise_in_place_of_a_codestream_is_refused() -> None:
    noise = np.random.default_rng(0).bytes(500)
    dataset = with_encoded_frame(
        an_ultrasound(a_gradient()), noise, uid.JPEGBaseline8Bit, "MONOCHROME2"
    )
    with pytest.raises(UndecodablePixelsError):
        read_frame(dataset)


@pytest.mark.parametrize(
    "keyword", ["PixelData", "Rows", "BitsAllocated", "PhotometricInterpretation"]
)
def test_a_header_without_what_decoding_needs_is_refused(keyword: str) -> None:
    dataset = an_ultrasound(a_gradient())
    delattr(dataset, keyword)
    with pytest.raises(UndecodablePixelsError):
        read_frame(dataset)


def test_a_file_without_transfer_syntax_is_refused() -> None:
    dataset = an_ultrasound(a_gradient())
    del dataset.file_meta
    with pytest.raises(UndecodablePixelsError):
        read_frame(dataset)


def test_too_few_bytes_are_refused() -> None:
    dataset = an_ultrasound(a_gradient())
    dataset.PixelData = dataset.PixelData[:100]
    with pytest.raises(UndecodablePixelsError) as refusal:
        read_frame(dataset)
    assert "\n" not in str(refusal.value)
    assert "uncompressed" in str(refusal.value), "the message says what to do"


def test_every_refusal_has_a_code_of_its_own() -> None:
    refusals = ImagingError.__subclasses__()
    codes = {refusal.code for refusal in refusals}
    assert len(codes) == len(refusals) >= 10
    assert all(code == code.lower() and " " not in code for code in codes)
    assert all(refusal.remedy for refusal in refusals)


def test_colour_flow_is_declared_by_the_image_type_or_by_a_region() -> None:
    plain = an_ultrasound(a_gradient(), ImageType=["ORIGINAL", "PRIMARY", "", "0001"])
    colour = an_ultrasound(a_gradient(), ImageType=["ORIGINAL", "PRIMARY", "", "0011"])
    power = an_ultrasound(a_gradient(), ImageType=["ORIGINAL", "PRIMARY", "", "0100"])
    odd = an_ultrasound(a_gradient(), ImageType=["ORIGINAL", "PRIMARY", "", "ABDOMEN"])
    declared = [read_frame(dataset).flow.declared for dataset in (plain, colour, power, odd)]
    assert declared == [False, True, True, False]


@pytest.mark.parametrize(
    "junk", [b"", b"\xff\xd8", b"\xff\x4f\xff\x51abc", b"\xff\xd8\xff\xff\xff"]
)
def test_a_codestream_that_ends_early_has_no_size(junk: bytes) -> None:
    assert codestream_size(junk) is None
