"""Images of every kind come out as a person would see them on paper."""

import struct

import pytest
from PIL import Image, ImageChops, ImageDraw

from ocrd.errors import OcrdError, PageError
from ocrd.pages.base import Rendering
from ocrd.pages.work import inspect, page
from tests.support.grain import saved
from tests.unit.pages.conftest import Put, refused
from tests.unit.pages.rasters import (
    BLACK,
    BLUE,
    CORNERS,
    GREEN,
    RED,
    WHITE,
    Frame,
    at,
    bomb,
    corners,
    flag,
    grey_frame,
    near,
    png,
    tiff,
)
from tests.unit.pages.samples import images

FORMATS = images()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_comes_out_with_its_colours_in_place(
    name: str, put: Put, wanted: Rendering
) -> None:
    content = FORMATS[name]
    path = put(content)

    info = inspect(path, wanted)
    image = page(path, 1, wanted)
    assert (info.kind, info.pages) == ("image", 1)
    assert (image.width, image.height, len(image.rgb)) == (96, 64, 96 * 64 * 3)
    assert near(corners(image), CORNERS, tolerance=40)


# Exif: which side of the scene the stored rows begin at, and which the stored columns.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def stored(scene: Image.Image, orientation: int) -> Image.Image:
    """The scene as a camera held that way stores it: by Exif's words, pixel by pixel."""
    width, height = scene.size
    rows, columns = SIDES[orientation]
    swapped = rows in ("left", "right")
    out = Image.new("RGB", (height, width) if swapped else (width, height))
    for row in range(out.height):
        for column in range(out.width):
            place = {rows: row, columns: column}
            x = place["left"] if "left" in place else width - 1 - place["right"]
            y = place["top"] if "top" in place else height - 1 - place["bottom"]
            out.putpixel((column, row), scene.getpixel((x, y)) or 0)
    return out


@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_page_held_any_way_comes_out_upright(
    format_: str, orientation: int, put: Put, wanted: Rendering
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format_ == "WEBP" else {}
    path = put(saved(stored(flag(48, 32), orientation), format_, exif=exif, **options))

    image = page(path, 1, wanted)
    assert (image.width, image.height) == (48, 32)
    assert near(corners(image), CORNERS, tolerance=60)


def test_an_orientation_that_is_nonsense_is_passed_over(put: Put, wanted: Rendering) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77

    assert near(corners(page(put(saved(flag(), "PNG", exif=exif)), 1, wanted)), CORNERS)


# ---- tones


def cmyk() -> Image.Image:
    """Black, cyan, yellow and paper as ink."""
    image = Image.new("CMYK", (96, 64), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 47, 31), fill=(0, 0, 0, 255))
    draw.rectangle((48, 0, 96, 31), fill=(255, 0, 0, 0))
    draw.rectangle((0, 32, 47, 64), fill=(0, 0, 255, 0))
    return image


INKS = (BLACK, (0, 255, 255), (255, 255, 0), WHITE)


def without_adobe_mark(jpeg: bytes) -> bytes:
    start = jpeg.index(b"\xff\xee")
    (length,) = struct.unpack_from(">H", jpeg, start + 2)
    return jpeg[:start] + jpeg[start + 2 + length :]


@pytest.mark.parametrize(
    "content",
    [
        saved(cmyk(), "JPEG", quality=95),  # Adobe's: stored inverted, and marked so
        without_adobe_mark(saved(ImageChops.invert(cmyk()), "JPEG", quality=95)),
        saved(cmyk(), "TIFF", compression="tiff_lzw"),
    ],
    ids=["adobe jpeg", "unmarked jpeg", "tiff"],
)
def test_ink_is_dark_and_paper_is_light(content: bytes, put: Put, wanted: Rendering) -> None:
    assert near(corners(page(put(content), 1, wanted)), INKS, tolerance=20)


def deep(paper: int, ink: int) -> list[int]:
    """Sixteen by sixteen values: ink above, paper below."""
    return [ink] * 128 + [paper] * 128


def words(values: list[int], order: str) -> bytes:
    return struct.pack(f"{order}{len(values)}H", *values)


def deep_png(values: list[int]) -> bytes:
    rows = (b"\0" + words(values[i : i + 16], ">") for i in range(0, 256, 16))
    return png(16, 16, 16, 0, b"".join(rows))


def deep_tiff(values: list[int], photometric: int) -> bytes:
    data = words(values, "<")
    return tiff(Frame(width=16, height=16, data=data, bits=16, photometric=photometric))


def of_mode(mode: str, paper: float, ink: float) -> bytes:
    image = Image.new(mode, (16, 16), paper)
    image.paste(ink, (0, 0, 16, 8))
    return saved(image, "TIFF")


@pytest.mark.parametrize(
    "content",
    [
        deep_png(deep(65535, 0)),
        deep_png(deep(4095, 100)),  # a scanner of twelve bits
        deep_tiff(deep(65535, 0), photometric=1),
        deep_tiff(deep(0, 65535), photometric=0),
        of_mode("I", 65000, 500),
        of_mode("I", 255, 0),
        of_mode("F", 1.0, 0.02),
        of_mode("F", 250.0, 4.0),
        of_mode("F", 3.5e9, -2.0e9),
    ],
    ids=[
        "16-bit png",
        "12 of 16 bits",
        "16-bit tiff",
        "16-bit tiff, zero is white",
        "32-bit tiff",
        "8 of 32 bits",
        "float, 0 to 1",
        "float, 0 to 255",
        "float of any range",
    ],
)
def test_deep_grey_keeps_its_range(content: bytes, put: Put, wanted: Rendering) -> None:
    image = page(put(content), 1, wanted)

    assert near([at(image, 0.5, 0.25), at(image, 0.5, 0.75)], [BLACK, WHITE])


def test_grey_between_stays_between(put: Put, wanted: Rendering) -> None:
    image = page(put(deep_png(deep(65535, 32768))), 1, wanted)

    assert near([at(image, 0.5, 0.25)], [(128, 128, 128)], tolerance=1)


def test_floats_that_are_no_numbers_are_damage(put: Put, wanted: Rendering) -> None:
    path = put(of_mode("F", float("nan"), float("nan")))
    with refused("damaged"):
        page(path, 1, wanted)


def see_through(mode: str) -> Image.Image:
    """A red half and a half of nothing, whose hidden colour is black."""
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 8, 16))
    return image.convert(mode)


def keyed(mode: str, key: int | tuple[int, int, int]) -> bytes:
    """A left half of ink, and a right half of the colour that is declared transparent."""
    image = Image.new(mode, (16, 16), 200 if mode == "L" else (200, 0, 0))
    image.paste(key, (8, 0, 16, 16))
    return saved(image, "PNG", transparency=key)


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (saved(see_through("RGBA"), "PNG"), RED),
        (saved(see_through("RGBA"), "WEBP", lossless=True), RED),
        (saved(see_through("RGBA"), "TIFF"), RED),
        (saved(see_through("RGBA"), "GIF"), RED),
        (saved(see_through("RGBA").quantize(16), "PNG"), RED),
        (saved(see_through("LA"), "PNG"), (76, 76, 76)),
        (keyed("L", 0), (200, 200, 200)),
        (keyed("RGB", (0, 0, 0)), (200, 0, 0)),
    ],
    ids=["rgba", "webp", "tiff", "gif", "palette", "grey", "grey key", "colour key"],
)
def test_what_shines_through_is_paper(
    content: bytes, left: tuple[int, int, int], put: Put, wanted: Rendering
) -> None:
    image = page(put(content), 1, wanted)

    assert near([at(image, 0.25, 0.5), at(image, 0.75, 0.5)], [left, WHITE], tolerance=2)


def test_half_see_through_ink_is_half_as_dark(put: Put, wanted: Rendering) -> None:
    image = page(put(saved(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG")), 1, wanted)

    assert near([at(image, 0.5, 0.5)], [(127, 127, 127)], tolerance=1)


# ---- fax and shape


def fax(compression: str, dpi: tuple[int, int]) -> bytes:
    """An inch of ink in the middle of two by two inches, at a fax's resolution."""
    x_dpi, y_dpi = dpi
    image = Image.new("1", (2 * x_dpi, 2 * y_dpi), 1)
    image.paste(0, (x_dpi // 2, y_dpi // 2, x_dpi * 3 // 2, y_dpi * 3 // 2))
    return saved(image, "TIFF", compression=compression, dpi=dpi)


@pytest.mark.parametrize(
    ("compression", "y_dpi", "height"),
    [("group3", 98, 408), ("group4", 98, 408), ("tiff_ccitt", 98, 408), ("packbits", 98, 408),
     ("group4", 196, 392)],  # a fine one is square enough
)  # fmt: skip
def test_a_fax_gets_square_pixels(
    compression: str, y_dpi: int, height: int, put: Put, wanted: Rendering
) -> None:
    image = page(put(fax(compression, (204, y_dpi))), 1, wanted)

    assert (image.width, image.height) == (408, height)
    assert at(image, 0.5, 0.5) == BLACK
    assert (at(image, 0.5, 0.2), at(image, 0.2, 0.5)) == (WHITE, WHITE)


def test_a_fax_lying_on_its_side_is_stretched_along_the_right_axis(
    put: Put, wanted: Rendering
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.new("L", (204, 98), 255)  # an inch by an inch
    for format_ in ("TIFF", "JPEG"):
        image = page(put(saved(lying, format_, dpi=(204, 98), exif=exif)), 1, wanted)
        assert (image.width, image.height) == (204, 204)


@pytest.mark.parametrize("dpi", [(300, 0), (1, 1000)])
def test_a_resolution_no_device_has_is_passed_over(
    dpi: tuple[int, int], put: Put, wanted: Rendering
) -> None:
    path = put(tiff(grey_frame(9, x_dpi=dpi[0], y_dpi=dpi[1])))

    image = page(path, 1, wanted)
    assert (image.width, image.height) == (40, 30)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF"])
def test_a_huge_image_is_made_small_enough(format_: str, put: Put, wanted: Rendering) -> None:
    image = page(put(saved(flag(6000, 600), format_)), 1, wanted)

    assert (image.width, image.height) == (5000, 500)
    assert near(corners(image), CORNERS)


def test_a_line_of_pixels_keeps_at_least_one(put: Put, wanted: Rendering) -> None:
    image = page(put(saved(Image.new("L", (20_000, 1), 7), "PNG")), 1, wanted)

    assert (image.width, image.height) == (5000, 1)


# ---- many frames


def test_each_frame_of_a_tiff_is_a_page(put: Put, wanted: Rendering) -> None:
    path = put(tiff(grey_frame(10), grey_frame(120, width=50), grey_frame(240)))

    assert inspect(path, wanted).pages == 3
    for number, level, width in ((2, 120, 50), (1, 10, 40), (3, 240, 40)):
        image = page(path, number, wanted)
        assert image.width == width
        assert at(image, 0.5, 0.5) == (level,) * 3


def test_thumbnails_and_masks_are_no_pages(put: Put, wanted: Rendering) -> None:
    path = put(
        tiff(
            grey_frame(10),
            grey_frame(99, subfile=1),
            grey_frame(120, subfile=2),  # bit 1: a page of several
            grey_frame(99, subfile=4),
        )
    )

    assert inspect(path, wanted).pages == 2
    assert at(page(path, 2, wanted), 0.5, 0.5) == (120,) * 3


def test_a_tiff_of_nothing_but_thumbnails_has_its_pages_all_the_same(
    put: Put, wanted: Rendering
) -> None:
    path = put(tiff(grey_frame(10, subfile=1), grey_frame(20, subfile=1)))

    assert inspect(path, wanted).pages == 2


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "AVIF"])
def test_what_moves_shows_its_first_frame(format_: str, put: Put, wanted: Rendering) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    path = put(saved(frames[0], format_, save_all=True, append_images=frames[1:]))

    assert inspect(path, wanted).pages == 1
    assert near([at(page(path, 1, wanted), 0.5, 0.5)], [RED], tolerance=30)


def test_one_lost_frame_costs_one_page(put: Put, wanted: Rendering) -> None:
    path = put(tiff(grey_frame(10), grey_frame(20, lost=True), grey_frame(30)))

    assert inspect(path, wanted).pages == 3
    with refused("damaged", by=PageError, match="Page 2"):
        page(path, 2, wanted)
    assert at(page(path, 3, wanted), 0.5, 0.5) == (30,) * 3


def test_a_file_replaced_under_its_name_is_read_anew(put: Put, wanted: Rendering) -> None:
    path = put(tiff(grey_frame(10), grey_frame(20)))
    assert at(page(path, 2, wanted), 0.5, 0.5) == (20,) * 3
    put(tiff(grey_frame(50), grey_frame(60), grey_frame(70)))

    assert at(page(path, 2, wanted), 0.5, 0.5) == (60,) * 3


def test_more_frames_than_allowed_are_too_many(put: Put) -> None:
    path = put(tiff(*[grey_frame(1, 1, 1)] * 4))
    with refused("too-large", match="4 pages"):
        inspect(path, Rendering(dpi=144, max_pixels=10**6, max_pages=3))


# ---- damage and bombs


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_cut_in_half_is_damaged(name: str, put: Put, wanted: Rendering) -> None:
    content = FORMATS[name]
    path = put(content[: len(content) // 2])
    with refused("damaged", by=OcrdError):
        inspect(path, wanted)
        page(path, 1, wanted)


def test_a_small_file_of_169_megapixels_is_refused_before_it_is_decoded(
    put: Put, wanted: Rendering
) -> None:
    content = bomb()
    assert len(content) < 25_000
    path = put(content)
    for attempt in (lambda: inspect(path, wanted), lambda: page(path, 1, wanted)):
        with refused("too-large", match="more than 120 megapixels", hint="max_pixels"):
            attempt()


def test_a_later_frame_that_is_too_large_costs_its_page_alone(put: Put) -> None:
    wanted = Rendering(dpi=144, max_pixels=1_000_000, max_pages=10)
    path = put(tiff(grey_frame(10), grey_frame(20, 1200, 1000)))

    assert inspect(path, wanted).pages == 2
    with refused("too-large", by=PageError):
        page(path, 2, wanted)
    assert at(page(path, 1, wanted), 0.5, 0.5) == (10,) * 3
