"""What is not a radiograph, or not whole, is refused in one clear line and never costs memory or an unknown error."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from bonedge.edge.decode import decode_bytes
from bonedge.edge.errors import BonedgeError, ExitCode, NotARadiograph, UnreadableImage
from bonedge.edge.records import Spacing

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
US = "1.2.840.10008.5.1.4.1.1.6.1"
PT = "1.2.840.10008.5.1.4.1.1.128"
NM = "1.2.840.10008.5.1.4.1.1.20"
SR = "1.2.840.10008.5.1.4.1.1.88.22"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
NO_PICTURE = ("Rows", "Columns", "PixelData", "BitsAllocated", "BitsStored", "HighBit", "PhotometricInterpretation")
COMPRESSED = (RLELossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)


@pytest.fixture(scope="module")
def small(picture):
    return picture(40, 50, 0, 255, "u1")


@pytest.mark.parametrize(
    ("sop_class", "modality", "says"),
    [
        (CT, "CT", "CT Image Storage"),
        (MR, "MR", "MR Image Storage"),
        (US, "US", "Ultrasound Image Storage"),
        (PT, "PT", "Positron Emission"),
        (NM, "NM", "Nuclear Medicine"),
        ("1.2.840.10008.5.1.4.1.1.7", "CT", "Secondary Capture.*modality CT"),
        ("1.2.3.4.5.6", "MR", "modality MR"),
        ("1.2.3.4.5.6", "", "unknown kind.*no modality"),
    ],
)
def test_other_modalities(dicom, small, sop_class, modality, says):
    """A CT slice would get a verdict about a bone tumour."""
    with pytest.raises(NotARadiograph, match=f"not a radiograph: it is .*{says}") as caught:
        decode_bytes(dicom(small, SOPClassUID=sop_class, Modality=modality))
    assert caught.value.exit_code is ExitCode.UNREADABLE
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sop_class", "modality", "says"),
    [(SR, "SR", "SR Storage"), (PDF, "DOC", "PDF"), (GSPS, "PR", "Presentation State")],
)
def test_documents(dicom, small, sop_class, modality, says):
    """A report beside the pictures would be called a damaged picture."""
    with pytest.raises(NotARadiograph, match=says):
        decode_bytes(dicom(small, SOPClassUID=sop_class, Modality=modality, drop=NO_PICTURE))


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "PX", "IO", "MG", "OT", "RF", "XA"])
def test_radiograph_modalities_are_accepted(dicom, small, modality):
    """Radiographs of one kind of device would all be refused."""
    source = decode_bytes(dicom(small, SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1", Modality=modality)).source
    assert source.modality == modality


def test_several_frames(dicom, small):
    """Only the first picture of a series would be judged, silently."""
    with pytest.raises(NotARadiograph, match="it has 3 frames"):
        decode_bytes(dicom(small, NumberOfFrames=3, frame=small.tobytes() * 3))


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422", "PALETTE COLOR"])
def test_colour(dicom, small, photometric):
    """A photograph or a screenshot would get a verdict."""
    samples = 1 if photometric == "PALETTE COLOR" else 3
    with pytest.raises(NotARadiograph, match=f"colour \\({photometric}"):
        decode_bytes(
            dicom(small, PhotometricInterpretation=photometric, SamplesPerPixel=samples, PlanarConfiguration=0)
        )


def test_colour_codestream_under_a_grey_header(dicom, small):
    """A colour picture would be read as a grey one of three times the width."""
    import imagecodecs

    frame = bytes(imagecodecs.jpeg8_encode(np.dstack([small, small.T.reshape(small.shape), small])))
    with pytest.raises(NotARadiograph, match="3 components"):
        decode_bytes(dicom(small, syntax=JPEGBaseline8Bit, frame=frame))


def test_source_says_what_the_picture_is_and_no_name(dicom, small):
    """Results could not be matched with the archive, or would carry a patient's name."""
    data = dicom(small, BodyPartExamined="KNEE", PixelSpacing=["0.2", "0.15"], ImagerPixelSpacing=["0.3", "0.3"])
    data = data.replace(b"KNEE", b"Knee")
    source = decode_bytes(data).source
    assert (source.rows, source.columns) == (40, 50)
    assert source.spacing == Spacing(0.2, 0.15)
    assert (source.body_part, source.modality) == ("KNEE", "CR")
    assert source.sop_instance_uid == "1.2.826.0.1.3680043.8.498.1"
    assert source.study_instance_uid == "1.2.826.0.1.3680043.8.498.2"
    assert "Secret" not in repr(source)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, None),
        ({"ImagerPixelSpacing": ["0.3", "0.25"]}, Spacing(0.3, 0.25)),
        ({"PixelSpacing": ["0", "0.2"]}, None),
        ({"PixelSpacing": ["-0.1", "0.2"]}, None),
        ({"PixelSpacing": ["0.1"]}, None),
        ({"PixelSpacing": ["0", "0"], "ImagerPixelSpacing": ["0.3", "0.3"]}, Spacing(0.3, 0.3)),
        ({"PixelSpacing": ["0.1", "0.1", "0.1"]}, None),
        ({"PixelSpacing": ["1e-300", "1e-300"], "ImagerPixelSpacing": ["0.3", "0.3"]}, Spacing(0.3, 0.3)),
        ({"PixelSpacing": ["1e30", "1e30"]}, None),
        ({"PixelSpacing": ["0.3", "30"]}, None),
        ({"PixelSpacing": ["0.3", "1.3"]}, None),
        ({"PixelSpacing": ["0.3", "1.1"]}, Spacing(0.3, 1.1)),
    ],
)
def test_spacing(dicom, small, attributes, expected):
    """Lesion sizes in mm would be wrong, infinite or negative."""
    assert decode_bytes(dicom(small, **attributes)).source.spacing == expected


def test_spacing_that_is_no_number(dicom, small):
    """A picture without a usable scale would be refused instead of shown without millimetres."""
    data = dicom(small, PixelSpacing=["0.1", "0.1"])
    for text in (b"NaN\\NaN", b"inf\\inf"):
        assert decode_bytes(data.replace(b"0.1\\0.1", text)).source.spacing is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"Patient report: nothing.\n" * 40, "it is text"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04" + b"\0" * 300, "ZIP"),
        (bytes(range(256)) * 4, "neither DICOM"),
        (b"\0" * 128 + b"DICM", "cut short|unknown kind"),
    ],
    ids=["empty", "text", "pdf", "zip", "noise", "prefix-only"],
)
def test_other_files(data, says):
    """A user would not learn which file of a folder is not a picture, or what it is."""
    with pytest.raises(UnreadableImage, match=f"^picture sha256:[0-9a-f]{{12}}: .*({says})"):
        decode_bytes(data)


def test_a_gigabyte_in_two_kilobytes(dicom, small):
    """A file of 2 KB would take a workstation's memory."""
    side = 23170  # 2 bytes each: 1 GB
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, *COMPRESSED):
        _refused_cheaply(dicom(small, syntax=syntax, Rows=side, Columns=side, BitsAllocated=8), "million are accepted")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *COMPRESSED], ids=lambda uid: uid.keyword)
def test_ninety_megapixels_in_two_kilobytes(dicom, small, syntax):
    """A file just under the largest accepted size would still take hundreds of megabytes."""
    _refused_cheaply(dicom(small, syntax=syntax, Rows=9000, Columns=10000), "declares")


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
def test_codestream_that_declares_what_the_header_does(dicom, small, syntax):
    """A bomb whose two headers agree would pass."""
    data = dicom(small, syntax=syntax, Rows=9000, Columns=10000)
    for form in (">HH", ">II"):
        data = data.replace(struct.pack(form, 40, 50), struct.pack(form, 9000, 10000))
        data = data.replace(struct.pack(form, 50, 40), struct.pack(form, 10000, 9000))
    _refused_cheaply(data, "no radiograph reaches")


def test_deflated_bomb(dicom, small):
    """A deflated header of a few kilobytes would inflate without end."""
    data = dicom(small, syntax=DeflatedExplicitVRLittleEndian)
    at = data.index(b"1.2.840.10008.1.2.1.99") + 22
    start = at + next(n for n in range(200) if _inflates(data[at + n :]))
    squeezer = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(squeezer.compress(b"\0" * (1 << 20)) for _ in range(300)) + squeezer.flush()
    _refused_cheaply(data[:start] + bomb, "inflates beyond", limit_bytes=400 << 20)
    with pytest.raises(UnreadableImage, match=r"is cut short|damaged"):
        decode_bytes(data[:-40])


def _inflates(data: bytes) -> bool:
    inflater = zlib.decompressobj(-15)
    try:
        return len(inflater.decompress(data)) > 1000 and inflater.eof
    except zlib.error:
        return False


def _refused_cheaply(data: bytes, says: str, limit_bytes: int = 8 << 20) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage, match=says):
            decode_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < limit_bytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, *COMPRESSED], ids=lambda u: u.keyword
)
@pytest.mark.parametrize("missing", [0.02, 0.3, 0.9])
def test_truncated_files(dicom, picture, syntax, missing):
    """Half a radiograph, from an interrupted copy, would get a verdict."""
    whole = dicom(picture(120, 100, 0, 255, "u1"), syntax=syntax)
    with pytest.raises(UnreadableImage) as caught:
        decode_bytes(whole[: int(len(whole) * (1 - missing))])
    assert not isinstance(caught.value, NotARadiograph)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda uid: uid.keyword)
def test_truncated_codestreams(dicom, picture, syntax):
    """A picture cut short before it was wrapped as DICOM would be shown half grey."""
    stored = picture(120, 100, 0, 255, "u1")
    whole = dicom(stored, syntax=syntax)
    frame = whole[whole.index(b"\xfe\xff\x00\xe0", whole.index(b"\xfe\xff\x00\xe0") + 4) + 8 : -8]
    assert decode_bytes(dicom(stored, syntax=syntax, frame=frame)).source.rows == 120
    with pytest.raises(UnreadableImage):
        decode_bytes(dicom(stored, syntax=syntax, frame=frame[: len(frame) // 2]))


@pytest.mark.parametrize("attributes", [{"Rows": 0}, {"BitsAllocated": 32}, {"BitsStored": 60}, {"BitsAllocated": 1}])
def test_impossible_headers(dicom, small, attributes):
    """An impossible header would be guessed at."""
    with pytest.raises(UnreadableImage):
        decode_bytes(dicom(small, **attributes))


def test_rle_runs_beyond_the_picture(dicom):
    """The codec's panic, which is not an ordinary exception, would end the run."""
    segment = b"\xf1\x01\xf1\x01"  # 32 pixels for a picture of 16
    frame = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13) + segment * 2
    with pytest.raises(UnreadableImage, match="RLE data could not be decoded"):
        decode_bytes(dicom(np.zeros((4, 4), np.uint16), syntax=RLELossless, frame=frame))


def test_codestream_of_another_size(dicom, small):
    """A picture would be sheared by a header that does not belong to it."""
    with pytest.raises(UnreadableImage, match="declares 50 x 40 pixels and its compressed data 40 x 50"):
        decode_bytes(dicom(small, syntax=JPEG2000Lossless, Rows=50, Columns=40))


def test_file_without_a_transfer_syntax(dicom, small):
    """Files of sloppy exporters, which any viewer opens, would be refused."""
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        data = dicom(small, syntax=syntax)
        broken = data.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x11\x00UI", 1)
        assert broken != data
        np.testing.assert_array_equal(decode_bytes(broken).pixels, decode_bytes(data).pixels)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    syntax=st.sampled_from([ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
    cut=st.none() | st.floats(0, 1),
)
@example(syntax=ExplicitVRLittleEndian, edits=[(0.94921875, 88)], cut=None)  # pixel data of the unknown VR "OX"
def test_mutated_headers_raise_only_bonedge_errors(dicom, lut, acceptable, syntax, edits, cut):
    """One damaged file of a thousand would stop the run with a traceback."""
    stored = np.arange(12, dtype=np.uint16).reshape(3, 4)
    data = bytearray(
        dicom(
            stored,
            syntax=syntax,
            bits_stored=12,
            WindowCenter=["5", "6"],
            WindowWidth=["7", "8"],
            PixelSpacing=["0.1", "0.1"],
            NumberOfFrames=1,
            PixelPaddingValue=3,
            RescaleSlope="1",
            VOILUTSequence=[lut(0, np.arange(9), 12)],
        )
    )
    for place, byte in edits:
        data[132 + int(place * (len(data) - 133))] = byte
    whole = bytes(data if cut is None else data[: int(cut * len(data))])
    assert acceptable(lambda: decode_bytes(whole))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600))
def test_noise_after_the_prefix_raises_only_bonedge_errors(noise):
    """A disk error would stop the run with a traceback."""
    with pytest.raises(BonedgeError):
        decode_bytes(b"\0" * 128 + b"DICM" + noise)
