"""The header of every compressed frame against the attributes of its image. Frames are never decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from wsi_dicom.codecs import jpeg2000_markers, jpeg_markers
from wsi_dicom.codecs.transfer_syntaxes import JPEG_2000, JPEG_2000_LOSSLESS, JPEG_BASELINE, transfer_syntax_name
from wsi_dicom.errors import CodecError
from wsi_dicom.validation.encapsulation import encapsulated
from wsi_dicom.validation.finding import Finding
from wsi_dicom.validation.image import HTJ2K, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, Image
from wsi_dicom.validation.pixel_data import Frame, PixelDataElement, frames

_FIRST_LOOK: Final = 2 << 10
_LARGEST_HEADER: Final = 64 << 10
_PADDED_END: Final = 16
_JP2_SIGNATURE_BOX: Final = b"jP  "
_LOSSLESS: Final = (JPEG_2000_LOSSLESS, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL)
_PHOTOMETRIC: Final = "PS3.3 C.7.6.3.1.2"


class Fault(NamedTuple):
    """`kind` tells faults apart that are counted together, whatever the numbers in their messages."""

    kind: str
    clause: str
    message: str


@dataclass(slots=True)
class _Count:
    fault: Fault
    first_frame: int
    frames: int = 0


def check_streams(image: Image) -> Iterator[Finding]:
    """Every frame is a whole stream of the right compression, size, samples and colour."""
    pixel_data, syntax = encapsulated(image), image.transfer_syntax
    if pixel_data is None or not image.frames:
        return
    judge = _JUDGES.get(syntax)
    if judge is None:
        yield image.warning("wsi-dicom", f"streams of {transfer_syntax_name(syntax)} are not looked into")
        return
    counts: dict[str, _Count] = {}
    for frame in frames(pixel_data, image.frames):
        for fault in _frame_faults(pixel_data, frame, image, judge):
            counts.setdefault(fault.kind, _Count(fault, frame.number)).frames += 1
    for count in counts.values():
        more = f" (and {count.frames - 1} more)" if count.frames > 1 else ""
        yield image.error(count.fault.clause, f"frame {count.first_frame}{more} {count.fault.message}")


Judge = Callable[[bytes, Image], Iterator[Fault]]


def _frame_faults(pixel_data: PixelDataElement, frame: Frame, image: Image, judge: Judge) -> Iterator[Fault]:
    last = frame.last
    for size in (_FIRST_LOOK, _LARGEST_HEADER):
        head = pixel_data.beginning(frame, size)
        try:
            yield from list(judge(head, image))
        except CodecError as error:
            if size == _LARGEST_HEADER or len(head) < size:
                yield Fault("broken", "PS3.5 8.2", f"has no readable header: {error}")
                return
        else:
            break
    tail_size = min(_PADDED_END, last.length)
    tail = pixel_data.file.read(tail_size, last.offset + last.length - tail_size)
    if jpeg_markers.end_of_stream(tail) is None:
        yield Fault("cut", "PS3.5 8.2", "is cut off: its stream has no end marker")


def _judge_jpeg(head: bytes, image: Image) -> Iterator[Fault]:
    header = jpeg_markers.parse_header(head)
    if not header.baseline:
        yield Fault(
            "process", "PS3.5 8.2.1", f"is JPEG of process SOF{header.sof & 15} with {header.bits} bits, not baseline"
        )
    yield from _shape(image, header.width, header.height, len(header.components), "PS3.5 8.2.1")
    told = image.text("PhotometricInterpretation")
    if header.colour == "RGB" and told.startswith("YBR"):
        yield Fault("colour", _PHOTOMETRIC, f"holds RGB; PhotometricInterpretation is {told}")
    if header.colour == "YCbCr" and told == "RGB":
        yield Fault("colour", _PHOTOMETRIC, "holds YCbCr; PhotometricInterpretation is RGB")


def _judge_jpeg2000(head: bytes, image: Image) -> Iterator[Fault]:
    if head[4:8] == _JP2_SIGNATURE_BOX:
        yield Fault("container", "PS3.5 A.4.4", "is a JP2 file, where a bare codestream is due")
        return
    header = jpeg2000_markers.parse_header(head)
    yield from _shape(image, header.width, header.height, header.samples, "PS3.5 8.2.4")
    stored = image.integer("BitsStored")
    if stored is not None and header.bits != stored:
        yield Fault("bits", "PS3.5 8.2.4", f"has {header.bits} bits; BitsStored is {stored}")
    if image.transfer_syntax in _LOSSLESS and not header.reversible:
        yield Fault("wavelet", "PS3.5 8.2.4", "is irreversible (9/7 wavelet) in a lossless transfer syntax")
    if not header.reversible and image.text("LossyImageCompression") == "00":
        yield Fault("lossy", "PS3.3 C.7.6.1.1.5", "is irreversible; LossyImageCompression is 00")
    if not header.part1 and image.transfer_syntax in (JPEG_2000, JPEG_2000_LOSSLESS):
        yield Fault("part", "PS3.5 8.2.4", "needs an extension of JPEG 2000 part 1")
    told, due = image.text("PhotometricInterpretation"), "YBR_RCT" if header.reversible else "YBR_ICT"
    if header.component_transform and header.samples == 3 and told != due:
        yield Fault(
            "colour", _PHOTOMETRIC, f"has a component transform; PhotometricInterpretation is {told}, not {due}"
        )
    if not header.component_transform and told in ("YBR_RCT", "YBR_ICT"):
        yield Fault("colour", _PHOTOMETRIC, f"has no component transform; PhotometricInterpretation is {told}")


def _shape(image: Image, width: int, height: int, samples: int, clause: str) -> Iterator[Fault]:
    columns, rows = image.integer("Columns"), image.integer("Rows")
    if (width, height) != (columns, rows):
        yield Fault("size", clause, f"has {width} x {height} pixels; Columns x Rows is {columns} x {rows}")
    if image.samples is not None and samples != image.samples:
        yield Fault("samples", clause, f"has {samples} samples a pixel; SamplesPerPixel is {image.samples}")


_JUDGES: Final[dict[str, Judge]] = {
    JPEG_BASELINE: _judge_jpeg,
    JPEG_2000_LOSSLESS: _judge_jpeg2000,
    JPEG_2000: _judge_jpeg2000,
    **dict.fromkeys((HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K), _judge_jpeg2000),
}
