"""One image file, of any format that Pillow opens, as the pixels that a viewer shows.

The orientation that a camera wrote beside the pixels is applied. Everything becomes RGB of 8 bits a
channel: transparency is dropped (the colours stay, nothing shines through), of several frames the
first is taken, colour profiles are ignored. More bits are refused, as Pillow would cut them off.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_ORIENTATION = 0x0112  # EXIF's tag, 1 (upright) to 8
_SUBFILE, _BITS_PER_SAMPLE, _SAMPLE_FORMAT = 254, 258, 339  # TIFF's tags
_UNSIGNED = (1, 4)  # 4 is "undefined"
_WITH_ALPHA = ("P", "PA", "LA", "RGBA", "RGBa")  # P may have it in its palette
_PNG, _J2K = b"\x89PNG\r\n\x1a\n", b"\xff\x4f\xff\x51"  # how a PNG and a JPEG 2000 stream begin


def read_image(file: Path, size: Sequence[int] | None) -> tuple[np.ndarray, list[str]]:
    """Read an image file.

    Parameters
    ----------
    file : path
    size : (H, W) or None
        Resize the upright image to this height and width in pixels (bilinear).

    Returns
    -------
    pixels : ndarray of uint8, shape (H, W, 3)
    remarks : list of str
        Things about the file that its owner should know; Pillow's warnings among them.

    Raises
    ------
    ValueError
        If the file is not an image, is damaged, too large, or has more than 8 bits a channel; the
        message names it.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            image = _decoded(file)
            if size is not None:
                image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            pixels = np.array(image)
    except Exception as error:  # damaged files make decoders raise nearly anything
        raise ValueError(
            f"{file} cannot be read as an 8-bit image: {_reason(error)}; {_advice(error)}"
        ) from error
    remarks = [w.message for w in caught if not issubclass(w.category, DeprecationWarning)]
    return pixels, [str(remark) for remark in remarks]


def _decoded(file: Path) -> "Image":
    """Return the first frame of a file, upright and in RGB."""
    from PIL import Image

    with Image.open(file) as opened:
        _check_depth(opened, file)
        if getattr(opened, "is_animated", False):
            warnings.warn("it has several frames or layers; the first is taken", stacklevel=1)
        opened.load()
        image = _upright(opened)
        if image.mode in _WITH_ALPHA or "transparency" in image.info:
            image = image.convert("RGBA")  # some kinds of transparency have no direct way to RGB
            if np.asarray(image)[..., 3].min() < 255:
                warnings.warn(
                    "transparent pixels become opaque, in their own colours", stacklevel=1
                )
        return image.convert("RGB")


def _upright(image: "Image") -> "Image":
    """Return an image turned as its EXIF data say."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception as error:  # as in any part of a damaged file
        reason = f"its EXIF data cannot be read ({_reason(error)}); it is taken to be upright"
        warnings.warn(reason, stacklevel=1)
        return image
    return image.transpose(turns[orientation]) if orientation in turns else image


def _check_depth(image: "ImageFile", file: Path) -> None:
    """Raise ValueError for an opened image whose values are not whole numbers of up to 8 bits."""
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"its pixels are of mode {image.mode}, not of 8 bits")
    bits = _bits(image, file)
    if bits > 8:
        raise ValueError(f"it has {bits} bits a channel, not 8")


def _bits(image: "ImageFile", file: Path) -> int:
    """Return the bits a channel of a file, 8 where its format has no more.

    Pillow gives modes like "RGB" to deep images too, and cuts their values off.
    """
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        if tags.get(_SUBFILE, 0) & 1:  # "reduced resolution"
            raise ValueError("it begins with a preview, as a camera's raw files do")
        if not set(tags.get(_SAMPLE_FORMAT, (1,))) <= set(_UNSIGNED):
            raise ValueError("its values are signed or not whole numbers")
        return max(tags.get(_BITS_PER_SAMPLE, (1,)))
    if image.format == "PPM":
        arguments = image.tile[0].args  # (mode, largest value), or a mode alone for 255
        return max(8, int(arguments[1]).bit_length()) if isinstance(arguments, tuple) else 8
    if image.format in ("SGI", "DDS"):
        deep = image.tile[0].codec_name == "SGI16" or "BC6H" in str(image.tile[0].args)
        return 16 if deep or ";16" in str(image.tile[0].args) else 8
    if image.format in ("PNG", "ICO", "ICNS", "CUR"):
        return _bits_of_png(file.read_bytes())
    if image.format == "JPEG2000":
        return _bits_of_jpeg_2000(file.read_bytes())
    if image.format == "AVIF":
        return _bits_of_avif(file.read_bytes())
    return 8


def _bits_of_png(content: bytes) -> int:
    """Return the most bits a channel of the PNG streams in a file; an icon holds several."""
    depths, start = [8], content.find(_PNG)
    while start >= 0:
        depths += content[start + 24 : start + 25]
        start = content.find(_PNG, start + 1)
    return max(depths)


def _bits_of_jpeg_2000(content: bytes) -> int:
    start = content.find(_J2K)
    channels = int.from_bytes(content[start + 40 : start + 42])
    sizes = content[start + 42 : start + 42 + 3 * channels : 3]
    return max(1 + (size & 0x7F) for size in sizes)


def _bits_of_avif(content: bytes) -> int:
    flags = content[content.find(b"av1C") + 6]
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _reason(error: Exception) -> str:
    """Return what a decoder says, with the kind of error where that says more."""
    if isinstance(error, OSError | ValueError) and str(error):
        return str(error)
    return f"{type(error).__name__} {error}".strip()


def _advice(error: Exception) -> str:
    from PIL.Image import DecompressionBombError

    if isinstance(error, DecompressionBombError | MemoryError):
        return "shrink or remove it"
    if isinstance(error, PermissionError):
        return "give yourself the right to read it, or remove it"
    return "replace it by an 8-bit PNG or JPEG, or remove it"
