"""The header of every compressed frame against the attributes of its image. Frames are never decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from wsi_dicom.codecs import jpeg2000_markers, jpeg_markers, jpegxl_header
from wsi_dicom.codecs import transfer_syntaxes as syntaxes
from wsi_dicom.codecs.stream_shape import StreamShape
from wsi_dicom.codecs.transfer_syntaxes import transfer_syntax_name
from wsi_dicom.errors import CodecError
from wsi_dicom.validation.encapsulation import encapsulated
from wsi_dicom.validation.finding import Finding
from wsi_dicom.validation.image import Image
from wsi_dicom.validation.pixel_data import Frame, PixelDataElement, frames

_FIRST_LOOK: Final = 2 << 10
_LARGEST_HEADER: Final = 64 << 10
_PADDED_END: Final = 16
_JP2_SIGNATURE_BOX: Final = b"jP  "
_LOSSLESS: Final = (syntaxes.JPEG_2000_LOSSLESS, syntaxes.HTJ2K_LOSSLESS, syntaxes.HTJ2K_LOSSLESS_RPCL)
_HIGH_THROUGHPUT: Final = (syntaxes.HTJ2K_LOSSLESS, syntaxes.HTJ2K_LOSSLESS_RPCL, syntaxes.HTJ2K)
_PROCESSES: Final = {
    syntaxes.JPEG_BASELINE: ("baseline", (0xC0,), (8,)),
    syntaxes.JPEG_EXTENDED: ("extended", (0xC0, 0xC1), (8, 12)),
    syntaxes.JPEG_LOSSLESS: ("lossless", (0xC3,), range(2, 17)),
    syntaxes.JPEG_LOSSLESS_SV1: ("lossless", (0xC3,), range(2, 17)),
}
"""What each JPEG transfer syntax is called, its frame markers and its bits."""
_PHOTOMETRIC: Final = "PS3.3 C.7.6.3.1.2"


class Fault(NamedTuple):
    """`kind` tells faults apart that are counted together, whatever the numbers in their messages."""

    kind: str
    clause: str
    message: str


class Told(NamedTuple):
    """What the header tells of its streams, looked up once for all of them."""

    transfer_syntax: str
    columns: int | None
    rows: int | None
    samples: int | None
    bits_allocated: int | None
    bits_stored: int | None
    photometric: str
    lossless: bool

    @classmethod
    def by(cls, image: Image) -> Told:
        return cls(
            image.transfer_syntax,
            image.integer("Columns"),
            image.integer("Rows"),
            image.samples,
            image.integer("BitsAllocated"),
            image.integer("BitsStored"),
            image.text("PhotometricInterpretation"),
            image.text("LossyImageCompression") == "00",
        )


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
    told = Told.by(image)
    for frame in frames(pixel_data, image.frames):
        for fault in _frame_faults(pixel_data, frame, told, judge):
            counts.setdefault(fault.kind, _Count(fault, frame.number)).frames += 1
    for count in counts.values():
        more = f" (and {count.frames - 1} more)" if count.frames > 1 else ""
        yield image.error(count.fault.clause, f"frame {count.first_frame}{more} {count.fault.message}")


Judge = Callable[[bytes, Told], Iterator[Fault]]


def _frame_faults(pixel_data: PixelDataElement, frame: Frame, told: Told, judge: Judge) -> Iterator[Fault]:
    last = frame.last
    for size in (_FIRST_LOOK, _LARGEST_HEADER):
        head = pixel_data.beginning(frame, size)
        try:
            yield from list(judge(head, told))
        except CodecError as error:
            if size == _LARGEST_HEADER or len(head) < size:
                yield Fault("broken", "PS3.5 8.2", f"has no readable header: {error}")
                return
        else:
            break
    if told.transfer_syntax not in syntaxes.ENDED_BY_MARKER:
        return
    tail_size = min(_PADDED_END, last.length)
    tail = pixel_data.file.read(tail_size, last.offset + last.length - tail_size)
    if jpeg_markers.end_of_stream(tail) is None:
        yield Fault("cut", "PS3.5 8.2", "is cut off: its stream has no end marker")


def _judge_jpeg(head: bytes, told: Told) -> Iterator[Fault]:
    header = jpeg_markers.parse_header(head)
    name, markers, bits = _PROCESSES[told.transfer_syntax]
    if header.sof not in markers or header.bits not in bits:
        yield Fault(
            "process", "PS3.5 8.2.1", f"is JPEG of process SOF{header.sof & 15} with {header.bits} bits, not {name}"
        )
    yield from _shape(told, header.shape, "PS3.5 8.2.1")
    if header.colour == "RGB" and told.photometric.startswith("YBR"):
        yield Fault("colour", _PHOTOMETRIC, f"holds RGB; PhotometricInterpretation is {told.photometric}")
    if header.colour == "YCbCr" and told.photometric == "RGB":
        yield Fault("colour", _PHOTOMETRIC, "holds YCbCr; PhotometricInterpretation is RGB")


def _judge_jpeg_ls(head: bytes, told: Told) -> Iterator[Fault]:
    header = jpeg_markers.parse_header(head)
    if header.sof != jpeg_markers.SOF55:
        yield Fault("process", "PS3.5 8.2.3", "is JPEG, where JPEG-LS is due")
        return
    yield from _shape(told, header.shape, "PS3.5 8.2.3")
    yield from _bits(told, header.bits, "PS3.5 8.2.3")
    near = head[header.scan_offset - 3]  # the largest error of a sample (T.87 C.2.3)
    if near and told.transfer_syntax == syntaxes.JPEG_LS_LOSSLESS:
        yield Fault("near", "PS3.5 A.4.3", f"is wrong by up to {near} in a lossless transfer syntax")
    if near and told.lossless:
        yield Fault("lossy", "PS3.3 C.7.6.1.1.5", f"is wrong by up to {near}; LossyImageCompression is 00")


def _judge_jpeg_xl(head: bytes, told: Told) -> Iterator[Fault]:
    shape = jpegxl_header.parse_header(head)
    yield from _shape(told, shape, "PS3.5 8.2.15")
    yield from _bits(told, shape.bits, "PS3.5 8.2.15")


def _judge_rle(head: bytes, told: Told) -> Iterator[Fault]:
    segments, samples, bits = int.from_bytes(head[:4], "little"), told.samples, told.bits_allocated
    if samples and bits and segments != samples * bits // 8:
        yield Fault("segments", "PS3.5 G.2", f"has {segments} segments; {samples * bits // 8} are due")


def _judge_jpeg2000(head: bytes, told: Told) -> Iterator[Fault]:
    if head[4:8] == _JP2_SIGNATURE_BOX:
        yield Fault("container", "PS3.5 A.4.4", "is a JP2 file, where a bare codestream is due")
        return
    header = jpeg2000_markers.parse_header(head)
    yield from _shape(told, header.shape, "PS3.5 8.2.4")
    yield from _bits(told, header.bits, "PS3.5 8.2.4")
    if told.transfer_syntax in _LOSSLESS and not header.reversible:
        yield Fault("wavelet", "PS3.5 8.2.4", "is irreversible (9/7 wavelet) in a lossless transfer syntax")
    if not header.reversible and told.lossless:
        yield Fault("lossy", "PS3.3 C.7.6.1.1.5", "is irreversible; LossyImageCompression is 00")
    if not header.part1 and told.transfer_syntax not in _HIGH_THROUGHPUT:
        yield Fault("part", "PS3.5 8.2.4", "needs an extension of JPEG 2000 part 1")
    due = "YBR_RCT" if header.reversible else "YBR_ICT"
    if header.component_transform and header.samples == 3 and told.photometric != due:
        yield Fault(
            "colour",
            _PHOTOMETRIC,
            f"has a component transform; PhotometricInterpretation is {told.photometric}, not {due}",
        )
    if not header.component_transform and told.photometric in ("YBR_RCT", "YBR_ICT"):
        yield Fault(
            "colour", _PHOTOMETRIC, f"has no component transform; PhotometricInterpretation is {told.photometric}"
        )


def _shape(told: Told, stream: StreamShape, clause: str) -> Iterator[Fault]:
    columns, rows = told.columns, told.rows
    if (stream.width, stream.height) != (columns, rows):
        yield Fault(
            "size", clause, f"has {stream.width} x {stream.height} pixels; Columns x Rows is {columns} x {rows}"
        )
    if told.samples is not None and stream.samples != told.samples:
        yield Fault("samples", clause, f"has {stream.samples} samples a pixel; SamplesPerPixel is {told.samples}")


def _bits(told: Told, bits: int, clause: str) -> Iterator[Fault]:
    stored = told.bits_stored
    if stored is not None and bits != stored:
        yield Fault("bits", clause, f"has {bits} bits; BitsStored is {stored}")


_JUDGES: Final[dict[str, Judge]] = {
    **dict.fromkeys(_PROCESSES, _judge_jpeg),
    **dict.fromkeys((syntaxes.JPEG_LS_LOSSLESS, syntaxes.JPEG_LS_NEAR_LOSSLESS), _judge_jpeg_ls),
    **dict.fromkeys((syntaxes.JPEG_2000_LOSSLESS, syntaxes.JPEG_2000, *_HIGH_THROUGHPUT), _judge_jpeg2000),
    **dict.fromkeys((syntaxes.JPEG_XL_LOSSLESS, syntaxes.JPEG_XL_RECOMPRESSION, syntaxes.JPEG_XL), _judge_jpeg_xl),
    syntaxes.RLE: _judge_rle,
}
