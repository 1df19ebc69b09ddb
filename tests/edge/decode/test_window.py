"""Stored values become the greys that DICOM says a viewer shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from bonedge.edge.decode import decode_bytes
from bonedge.edge.decode.window import (
    Presentation,
    SampleFormat,
    VoiFunction,
    Window,
    render,
    stored_values,
    window_values,
)


def linear(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.2.1, with output 0..1."""
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5


def linear_exact(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.2, with output 0..1."""
    if x <= c - w / 2:
        return 0.0
    if x > c + w / 2:
        return 1.0
    return (x - c) / w + 0.5


def sigmoid(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.1, with output 0..1."""
    return 1 / (1 + math.exp(min(-4 * (x - c) / w, 700)))


FORMULAS = {VoiFunction.LINEAR: linear, VoiFunction.LINEAR_EXACT: linear_exact, VoiFunction.SIGMOID: sigmoid}


@given(
    function=st.sampled_from(list(VoiFunction)),
    center=st.floats(-5000, 70000),
    width=st.floats(1, 70000),
    values=st.lists(st.floats(-40000, 70000), min_size=1, max_size=20),
)
def test_window_functions_follow_the_standard(function, center, width, values):
    """bonedge would judge a picture that differs from what the radiologist sees."""
    shown = window_values(np.array(values), Window(center, width, function))
    assert shown is not None
    expected = [FORMULAS[function](value, center, width) for value in values]
    if width > 1.001:
        np.testing.assert_allclose(shown, expected, atol=1e-9)
    else:
        assert ((shown >= 0) & (shown <= 1)).all()


@pytest.mark.parametrize("function", [None, *VoiFunction])
def test_window_of_a_file(dicom, picture, function):
    """A window function would be ignored although the file asks for it."""
    stored = picture(40, 50, 0, 4095, "u2")
    asked = {} if function is None else {"VOILUTFunction": function.value}
    pixels = decode_bytes(dicom(stored, bits_stored=12, WindowCenter="1800.5", WindowWidth="900", **asked)).pixels
    formula = np.vectorize(FORMULAS[function or VoiFunction.LINEAR])
    np.testing.assert_allclose(pixels, formula(stored.astype(float), 1800.5, 900.0), atol=1e-6)


def test_first_of_several_windows(dicom, picture):
    """The picture would depend on the order of a vendor's alternatives."""
    stored = picture(40, 50, 0, 4095, "u2")
    one = decode_bytes(dicom(stored, bits_stored=12, WindowCenter="1500", WindowWidth="1000")).pixels
    several = dicom(stored, bits_stored=12, WindowCenter=["1500", "3000"], WindowWidth=["1000", "200"])
    np.testing.assert_array_equal(decode_bytes(several).pixels, one)


def test_rescale_comes_before_the_window(dicom, picture):
    """Windows in rescaled units would show a black picture."""
    stored = picture(40, 50, 0, 1023, "u2")
    data = dicom(stored, bits_stored=10, RescaleSlope="2.5", RescaleIntercept="-1000", RescaleType="US",
                 WindowCenter="200", WindowWidth="1200")  # fmt: skip
    expected = np.vectorize(linear)(stored * 2.5 - 1000, 200.0, 1200.0)
    np.testing.assert_allclose(decode_bytes(data).pixels, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME1", "INVERSE", True),
    ],
)
def test_inverted_exactly_once(dicom, picture, photometric, shape, inverted):
    """Bone would come out black: the networks have never seen that."""
    stored = picture(40, 50, 0, 4095, "u2")
    window = {"WindowCenter": "1000", "WindowWidth": "900"}
    asked = {} if shape is None else {"PresentationLUTShape": shape}
    data = dicom(stored, bits_stored=12, PhotometricInterpretation=photometric, **asked, **window)
    shown = np.vectorize(linear)(stored.astype(float), 1000.0, 900.0)  # not symmetric: inversion must come after
    np.testing.assert_allclose(decode_bytes(data).pixels, 1 - shown if inverted else shown, atol=1e-6)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_modality_lut_sequence(dicom, picture, lut, signed):
    """Plates whose reader stores a logarithmic table would be shown with the wrong contrast."""
    low = -500 if signed else 0
    stored = picture(40, 50, low, low + 1500, "i2" if signed else "u2")
    table = np.sqrt(np.arange(1001) / 1000) * 65535
    data = dicom(stored, bits_stored=12, ModalityLUTSequence=[lut(low + 200, table.astype(np.uint16), 16)],
                 WindowCenter="32768", WindowWidth="65536")  # fmt: skip
    dataset = dcmread(DicomBytesIO(data))
    oracle = apply_modality_lut(dataset.pixel_array, dataset)
    np.testing.assert_allclose(decode_bytes(data).pixels, oracle / 65535, atol=1e-6)


@pytest.mark.parametrize("count", [300, 65536])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_voi_lut_sequence(dicom, picture, lut, signed, count):
    """A vendor's processing curve would be lost, or the picture thrown to one end of it."""
    low = -2048 if signed else 0
    stored = picture(40, 50, low, low + 4095, "i2" if signed else "u2")
    first = -100 if signed else (0 if count == 65536 else 1000)
    table = (1 - np.exp(-4 * np.arange(count) / min(count, 4096))) * 1023
    data = dicom(stored, bits_stored=12, VOILUTSequence=[lut(first, table.astype(np.uint16), 10)],
                 WindowCenter="1", WindowWidth="2")  # fmt: skip
    dataset = dcmread(DicomBytesIO(data))
    oracle = apply_voi_lut(dataset.pixel_array, dataset, prefer_lut=True)
    np.testing.assert_allclose(decode_bytes(data).pixels, oracle / 1023, atol=1e-6)


@pytest.mark.parametrize(
    ("described", "held", "white"), [(16, 12, 4095), (16, 10, 1023), (16, 16, 65535), (12, 10, 4095)]
)
def test_a_voi_lut_that_says_16_bits_of_fewer(dicom, picture, lut, described, held, white):
    """The reader could not check an outline on an overlay that is all but black."""
    stored = picture(40, 50, 0, 4095, "u2")
    table = np.linspace(0, (1 << held) - 1, 4096).astype(np.uint16)
    data = dicom(stored, bits_stored=12, VOILUTSequence=[lut(0, table, described)])
    np.testing.assert_allclose(decode_bytes(data).pixels, table[stored] / white, atol=1e-6)


def test_eight_bit_lut_entries(dicom, picture):
    """Old tables, packed two entries to a word, would be read as noise."""
    from pydicom.dataset import Dataset

    stored = picture(40, 50, 0, 255, "u1")
    table = np.arange(256, dtype=np.uint8)[::-1]
    item = Dataset()
    item.LUTDescriptor = [256, 0, 8]
    item["LUTDescriptor"].VR = "US"
    item.add_new("LUTData", "OW", table.tobytes())
    pixels = decode_bytes(dicom(stored, VOILUTSequence=[item])).pixels
    np.testing.assert_allclose(pixels, (255 - stored.astype(float)) / 255, atol=1e-6)


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"WindowCenter": "100", "WindowWidth": "0"},
        {"WindowCenter": "100", "WindowWidth": "-20"},
        {"WindowCenter": "100"},
        {"WindowCenter": "-900000", "WindowWidth": "10"},
        {"WindowCenter": "900000", "WindowWidth": "10"},
        {"RescaleSlope": "0", "RescaleIntercept": "5"},
    ],
    ids=["none", "zero", "negative", "half", "all-white", "all-black", "slope-zero"],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_unusable_window_falls_back_to_the_range(dicom, picture, window, photometric):
    """One wrong number in a header would turn a good picture black."""
    stored = picture(200, 300, 300, 700, "u2")
    stored[0, 0], stored[-1, -1] = 0, 4095  # single defects must not set the scale
    pixels = decode_bytes(dicom(stored, bits_stored=12, PhotometricInterpretation=photometric, **window)).pixels
    low, high = np.percentile(pixels, (1, 99))
    assert low < 0.1
    assert high > 0.9
    rising = np.corrcoef(pixels.ravel(), stored.ravel())[0, 1]
    assert (rising > 0.95) == (photometric == "MONOCHROME2")


def test_nan_in_a_window(dicom, picture):
    """A text where a number belongs would end in an error instead of a verdict."""
    stored = picture(40, 50, 300, 700, "u2")
    data = dicom(stored, WindowCenter="1234567", WindowWidth="7654321").replace(b"7654321", b"NaN    ")
    pixels = decode_bytes(data).pixels
    assert np.isfinite(pixels).all()
    assert np.ptp(pixels) > 0.9


def test_flat_picture_is_black(dicom):
    """An exposure without an object would raise an error or divide by zero."""
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        pixels = decode_bytes(dicom(np.full((20, 30), 77, np.uint16), PhotometricInterpretation=photometric)).pixels
        assert (pixels == 0).all()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_padding_is_black_and_does_not_set_the_scale(dicom, picture, photometric, signed):
    """The blackened surround of a plate would be shown white, or squeeze the picture's greys together."""
    stored = picture(100, 100, 300, 700, "i2" if signed else "u2")
    padding = -2000 if signed else 4000
    stored[:30] = padding
    data = dicom(stored, PhotometricInterpretation=photometric, PixelPaddingValue=padding)
    pixels = decode_bytes(data).pixels
    assert (pixels[:30] == 0).all()
    assert pixels[30:].max() > 0.95
    assert np.median(pixels[30:]) == pytest.approx(0.5, abs=0.25)


def test_padding_range(dicom, picture):
    """A surround of several values would be taken for picture."""
    stored = picture(100, 100, 300, 700, "u2")
    stored[:30] = np.arange(30, dtype=np.uint16)[:, None] + 3990
    data = dicom(stored, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=4030, PixelPaddingRangeLimit=3980)
    assert (decode_bytes(data).pixels[:30] == 0).all()


@given(
    bits=st.integers(2, 16),
    signed=st.booleans(),
    slope=st.floats(-1e300, 1e300),
    intercept=st.floats(-1e300, 1e300),
    window=st.none() | st.builds(Window, st.floats(), st.floats(), st.sampled_from(list(VoiFunction))),
    inverted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_presentation_stays_in_range(bits, signed, slope, intercept, window, inverted, seed):
    """A hostile header would put infinities into the networks."""
    stored = np.random.default_rng(seed).integers(0, 1 << 16, (6, 7), np.uint16)
    pixels = render(
        stored, SampleFormat(bits, signed), Presentation(slope, intercept, window=window, inverted=inverted)
    )
    assert pixels.dtype == np.float32
    assert ((pixels >= 0) & (pixels <= 1)).all()


@pytest.mark.parametrize("bits", range(2, 17))
def test_signed_values_are_twos_complement(bits):
    """Dark and bright halves of a signed picture would be exchanged."""
    values = stored_values(SampleFormat(bits, signed=True), 16)
    half = 1 << bits - 1
    assert values[half - 1] == half - 1
    assert values[half] == -half
    assert values[(1 << bits) - 1] == -1


@pytest.mark.parametrize(
    "damage", [(b"WWWWWW", b"abcdef"), (b"1.5555", b"1,5555"), (b"0.1234\\0.1234", b"0,1234x0.1234")]
)
def test_damaged_display_attributes_do_not_cost_the_picture(dicom, picture, damage):
    """A comma for a point in a spacing or a window would refuse a good radiograph."""
    stored = picture(40, 50, 300, 700, "u2")
    data = dicom(stored, WindowCenter="500", WindowWidth="123456", RescaleSlope="1.5555", RescaleIntercept="0",
                 PixelSpacing=["0.1234", "0.1234"]).replace(b"123456", b"WWWWWW")  # fmt: skip
    assert damage[0] in data
    data = data.replace(*damage)
    assert np.ptp(decode_bytes(data).pixels) > 0.9
