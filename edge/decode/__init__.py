"""Bytes to pixels: DICOM, PNG, JPEG and TIFF become a `Radiograph`, or one line that says why not.

`decode_bytes` works in this process; `Decoder` does the same in an expendable one, which is what a workstation
uses for files from outside. Importing this package loads neither pydicom nor a codec.
"""

from .decoder import Decoder
from .formats import decode_bytes

__all__ = ["Decoder", "decode_bytes"]
