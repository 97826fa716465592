"""Image files of every format: upright, in 8 bits, or refused by name."""

import io
import random
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.Image import Transpose

from convexbn.data.decoding import read_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8)
# How each orientation is stored: the inverse of the turn that makes it upright.
STORED = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def read(tmp_path, content, size=None):
    file = tmp_path / "picture"
    file.write_bytes(content)
    return read_image(file, size)


def saved(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def test_pixels_and_axes_of_a_plain_file(tmp_path):
    pixels, remarks = read(tmp_path, saved(Image.fromarray(PIXELS), "PNG"))
    np.testing.assert_array_equal(pixels, PIXELS)
    assert (pixels.dtype, remarks) == (np.uint8, [])


# --- orientation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "MPO", "AVIF"])
def test_every_orientation_comes_out_upright(tmp_path, format, orientation):
    """Blocks of 16 x 16 in plain colours, which JPEG keeps, to within a little."""
    blocks = np.kron(RNG.integers(0, 2, (3, 2, 3)) * 255, np.ones((16, 16, 1))).astype(np.uint8)
    turn, image = STORED[orientation], Image.fromarray(blocks)
    image = image if turn is None else image.transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    full = {"quality": 100, "subsampling": "4:4:4"}
    options = {"WEBP": {"lossless": True}, "JPEG": full, "AVIF": full}.get(format, {})
    pixels, _ = read(tmp_path, saved(image, format, exif=exif, **options))
    inside = np.abs(pixels.astype(int) - blocks).reshape(3, 16, 2, 16, 3)[:, 4:12, :, 4:12]
    assert inside.max() <= 8  # the largest rounding of JPEG's default quality on plain blocks


def test_resizing_is_that_of_the_upright_image(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    top = np.zeros((8, 8, 3), dtype=np.uint8)
    top[:, :4] = 255  # stored left half: upright, it is the top half
    pixels, _ = read(tmp_path, saved(Image.fromarray(top), "PNG", exif=exif), size=(2, 4))
    assert pixels.shape == (2, 4, 3)
    assert pixels[0].min() > 200 > 50 > pixels[1].max()


@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\0\x05", b"Exif\0\0II*\0\xff\xff\xff\xff"],
)
def test_broken_exif_data_lose_no_image(tmp_path, exif):
    pixels, _ = read(tmp_path, saved(Image.fromarray(PIXELS), "PNG", exif=exif))
    np.testing.assert_array_equal(pixels, PIXELS)


def test_unreadable_exif_data_are_remarked(tmp_path, monkeypatch):
    def fail(*_):
        raise struct.error("unpack requires a buffer")

    content = saved(Image.fromarray(PIXELS), "PNG")
    monkeypatch.setattr(Image.Image, "getexif", fail)
    pixels, remarks = read(tmp_path, content)
    np.testing.assert_array_equal(pixels, PIXELS)
    assert any("EXIF data cannot be read (error unpack" in remark for remark in remarks)


# --- depth ----------------------------------------------------------------------------------------


def png(color, channels, depth=16, width=4, height=6):
    """A PNG of 6 rows whose values are all small."""
    rows = (b"\0" + bytes(([0, 200] * 4 * channels)[: 4 * channels * depth // 8]) for _ in range(6))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def tiff(bits, channels=3, sample_format=1):
    """An uncompressed TIFF of 2 x 2 pixels."""
    size = max(bits // 8, 1) * channels * 4
    fields = [(256, 2), (257, 2), (259, 1), (262, 2 if channels == 3 else 1), (273, 200)]
    fields += [(277, channels), (278, 2), (279, size), (339, sample_format)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields if tag != 339]
    at = {258: 160, 339: 170}
    for tag, value in ((258, bits), (339, sample_format)):
        inline = struct.pack("<HHIHH", tag, 3, 1, value, 0)
        entries.append(struct.pack("<HHII", tag, 3, channels, at[tag]) if channels > 2 else inline)
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    body = bytearray(head.ljust(200, b"\0")) + bytes([7, 0] * size)[:size]
    for tag, value in ((258, bits), (339, sample_format)):
        body[at[tag] : at[tag] + 6] = struct.pack("<3H", *[value] * 3)
    return bytes(body)


def sgi():
    header = struct.pack(">hBBHHHH", 474, 0, 2, 3, 2, 2, 3)
    return header.ljust(512, b"\0") + bytes(2 * 2 * 2 * 3)


def dds_of_floats():
    header = struct.pack("<4s7I", b"DDS ", 124, 0x1007, 4, 4, 16, 0, 0).ljust(76, b"\0")
    header += struct.pack("<II4s", 32, 4, b"DX10").ljust(52, b"\0")
    return header + struct.pack("<5I", 95, 3, 0, 1, 0) + bytes(16)


def j2k(bits):
    content = bytearray(saved(Image.fromarray(PIXELS), "JPEG2000", no_jp2=True))
    for channel in range(3):
        content[42 + 3 * channel] = bits - 1
    return bytes(content)


def avif(flags):
    content = bytearray(saved(Image.fromarray(PIXELS), "AVIF"))
    content[content.find(b"av1C") + 6] |= flags
    at = content.find(b"pixi") + 9
    content[at : at + 3] = bytes([{0x40: 10, 0x60: 12}.get(flags, 8)] * 3)
    return bytes(content)


def icon_of(content):
    """An .ico that holds a PNG."""
    entry = struct.pack("<BBBBHHII", 4, 6, 0, 0, 1, 32, len(content), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + content


DEEP = {
    "PNG gray": (png(0, 1), "mode I;16"),
    "PNG gray and alpha": (png(4, 2), "16 bits"),
    "PNG RGB": (png(2, 3), "16 bits"),
    "PNG RGBA": (png(6, 4), "16 bits"),
    "PNG in an icon": (icon_of(png(2, 3)), "16 bits"),
    "PPM binary": (b"P6 2 1 65535\n" + bytes([0, 200] * 6), "16 bits"),
    "PPM text": (b"P3 2 1 1000\n1 2 3 4 5 6\n", "10 bits"),
    "PGM": (b"P5 2 1 4095\n" + bytes(4), "mode I"),
    "TIFF RGB": (tiff(16), "16 bits"),
    "TIFF gray": (tiff(16, 1), "mode I;16"),
    "TIFF of signed bytes": (tiff(8, 1, sample_format=2), "signed"),
    "SGI": (sgi(), "16 bits"),
    "DDS of floats": (dds_of_floats(), "16 bits"),
    "JPEG 2000": (j2k(12), "12 bits"),
    "AVIF, 10 bits": (avif(0x40), "10 bits"),
    "AVIF, 12 bits": (avif(0x60), "12 bits"),
}


@pytest.mark.parametrize("kind", DEEP)
def test_more_than_8_bits_a_channel_are_refused(tmp_path, kind):
    content, reason = DEEP[kind]
    with pytest.raises(
        ValueError, match=rf"picture cannot be read as an 8-bit .*{reason}.*replace"
    ):
        read(tmp_path, content)


SHALLOW = {
    "PNG": png(2, 3, depth=8),
    "icon": icon_of(png(2, 3, depth=8)),
    "TIFF RGB": tiff(8),
    "TIFF gray": tiff(8, 1),
    "JPEG 2000": j2k(8),
    "AVIF": avif(0),
    "PPM binary": b"P6 2 1 255\n" + bytes(6),
    "PPM text": b"P3 2 1 15\n1 2 3 4 5 15\n",
    "PBM": b"P1 2 1\n1 0\n",
}


def test_what_looks_like_another_format_inside_a_file_counts_for_nothing(tmp_path):
    """In compressed pixels any four bytes may stand."""
    words = b"\xff\x4f\xff\x51" + bytes([0, 1, 40] * 30) + b"av1C\xff\xff\xff"
    pixels, _ = read(tmp_path, png(2, 3, depth=8) + words)
    assert pixels.shape == (6, 4, 3)


@pytest.mark.parametrize("kind", SHALLOW)
def test_8_bits_and_fewer_are_read(tmp_path, kind):
    pixels, _ = read(tmp_path, SHALLOW[kind])
    assert pixels.ndim == 3


def test_the_preview_of_a_raw_file_is_no_image(tmp_path):
    """Such files are TIFFs, which hold the picture in a form of their own."""
    content = saved(Image.fromarray(PIXELS), "TIFF", tiffinfo={254: 1, 50706: b"\1\4\0\0"})
    with pytest.raises(ValueError, match=r"picture cannot be read .*: it begins with a preview"):
        read(tmp_path, content)


# --- modes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(PIXELS).convert(mode)
    pixels, remarks = read(tmp_path, saved(image, "TIFF"))
    np.testing.assert_array_equal(pixels, image.convert("RGB"))
    assert not remarks


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_dropped_with_a_word_where_there_is_some(tmp_path, mode):
    """The colours stay as they are in the file, on no background."""
    image = Image.fromarray(PIXELS).convert("RGBA").convert(mode)
    opaque = saved(image, "PNG")
    if mode == "P":
        some = saved(image, "PNG", transparency=bytes([0, 128] + [255] * 254))
    else:
        image.putalpha(Image.fromarray(PIXELS[..., 0]))
        some = saved(image, "PNG")
    for content, words in ((opaque, False), (some, True)):
        pixels, remarks = read(tmp_path, content)
        np.testing.assert_array_equal(pixels, image.convert("RGB"))
        assert any("transparent" in remark for remark in remarks) == words


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_taken_with_a_word(tmp_path, format):
    """Plain colours, which a palette keeps too."""
    first, second = (Image.new("RGB", (4, 6), color) for color in ("red", "blue"))
    options = {"WEBP": {"lossless": True}}.get(format, {})
    content = saved(first, format, save_all=True, append_images=[second], **options)
    pixels, remarks = read(tmp_path, content)
    np.testing.assert_array_equal(pixels, first)
    assert any("several frames" in remark for remark in remarks)


# --- large and damaged files ----------------------------------------------------------------------


def test_a_decompression_bomb_is_named_with_advice(tmp_path):
    content = png(0, 1, depth=8, width=14_000, height=14_000)
    with pytest.raises(ValueError, match=r"picture cannot be read .*196000000 pixels.*shrink or"):
        read(tmp_path, content, size=(8, 8))


def test_a_large_image_is_read_with_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # above it a warning, above twice an error
    pixels, remarks = read(tmp_path, saved(Image.fromarray(PIXELS), "PNG"))
    np.testing.assert_array_equal(pixels, PIXELS)
    assert any("exceeds limit of 20 pixels" in remark for remark in remarks)


def test_memory_that_runs_out_is_named(tmp_path, monkeypatch):
    def convert(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", convert)
    with pytest.raises(ValueError, match=r"picture cannot be read .*MemoryError; shrink or remove"):
        read(tmp_path, saved(Image.fromarray(PIXELS), "PNG"))


FORMATS = [
    *("AVIF", "BMP", "DDS", "GIF", "ICNS", "ICO", "IM", "JPEG", "JPEG2000", "PCX", "PNG", "PPM"),
    *("QOI", "SGI", "TGA", "TIFF", "WEBP", "XBM", "BLP", "MSP"),
]
MODES = {"XBM": "1", "MSP": "1", "BLP": "P"}


def damaged(content, count):
    """Yield copies of a file that are cut short, or have some bytes changed, most in its head."""
    draw = random.Random(0)
    for i in range(count):
        copy = bytearray(content[: draw.randrange(len(content))] if i % 4 == 0 else content)
        for _ in range(draw.choice([1, 2, 8]) if copy and i % 4 else 0):
            place = draw.randrange(min(len(copy), 128) if i % 2 else len(copy))
            copy[place] = draw.choice([0, 127, 255, draw.randrange(256)])
        yield bytes(copy)


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_are_named_whatever_the_decoder_raises(tmp_path, format):
    image = Image.fromarray(PIXELS).convert(MODES.get(format, "RGB"))
    errors = []
    for content in damaged(saved(image, format), 40):
        try:
            read(tmp_path, content)
        except ValueError as error:
            errors.append(str(error))
    assert errors
    for error in errors:
        assert re.search("picture cannot be read as an 8-bit image: .+; .* remove it", error, re.S)


@pytest.mark.parametrize("error", [struct.error, KeyError, IndexError, EOFError, RecursionError])
def test_whatever_is_raised_is_told_with_its_kind(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error("deep inside")

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ValueError, match=r"picture cannot be read .*rror .*deep inside") as caught:
        read(tmp_path, b"")
    assert isinstance(caught.value.__cause__, error)


def test_no_leave_to_read_is_told_as_such(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "picture")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(ValueError, match=r"Permission denied.*give yourself the right to read it"):
        read(tmp_path, b"")
