"""The one line that says who vouches for a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonedge.edge.errors import BundleRefused
from bonedge.edge.signature import SIGNATURE_LIMIT_BYTES, Signature, read_signature

WHERE = Path("b") / "manifest.sig"
KEY_ID, VALUE = "0f" * 16, bytes(range(64))
LINE = Signature(KEY_ID, VALUE).line()


def test_is_one_line_that_people_can_read() -> None:
    """If it failed, nobody could see with `cat` who signed, or signatures of today could not be read tomorrow."""
    assert LINE.decode() == f"ed25519 {KEY_ID} {VALUE.hex()}\n"
    assert len(LINE) == 170 < SIGNATURE_LIMIT_BYTES


@given(key_id=st.binary(min_size=16, max_size=16), value=st.binary(min_size=64, max_size=64))
def test_reads_what_it_writes(key_id: bytes, value: bytes) -> None:
    """If it failed, some bundles could be signed and never be loaded again."""
    signature = Signature(key_id.hex(), value)
    assert read_signature(WHERE, signature.line()) == signature


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        LINE[:-1],
        LINE[:-2] + b"\n",
        LINE + b"\n",
        LINE + LINE,
        b" " + LINE,
        LINE[:-1] + b"\r\n",
        LINE.replace(b" ", b"  ", 1),
        LINE.replace(b" ", b"\t", 1),
        LINE.upper(),
        LINE.replace(b"f", b"F", 1),
        LINE.replace(b"ed25519", b"ed25518"),
        LINE.replace(b"ed25519", b"none"),
        VALUE,
        b"\xef\xbb\xbf" + LINE,
        b'{"key_id": "0f", "signature": "00"}',
        b"\0" * SIGNATURE_LIMIT_BYTES,
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    """If it failed, a cut or edited signature would be taken for one, or end in a traceback."""
    with pytest.raises(BundleRefused, match=r"manifest\.sig is damaged") as refusal:
        read_signature(WHERE, content)
    assert "\n" not in str(refusal.value)
