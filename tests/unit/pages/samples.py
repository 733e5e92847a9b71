"""Small whole files of every kind, for tests to damage."""

import pymupdf
from PIL import Image

from tests.support.grain import saved
from tests.unit.pages.pdfs import (
    flag_content,
    group4,
    image_object,
    jbig2,
    many_pages,
    one_page,
    scan,
    stream,
)
from tests.unit.pages.rasters import flag, grey_frame, tiff


def images() -> dict[str, bytes]:
    """The same flag in every format."""
    return {
        "jpeg": saved(flag(), "JPEG", quality=95),
        "progressive jpeg": saved(flag(), "JPEG", quality=95, progressive=True),
        "png": saved(flag(), "PNG"),
        "palette png": saved(flag().quantize(8), "PNG"),
        "tiff lzw": saved(flag(), "TIFF", compression="tiff_lzw"),
        "tiff jpeg": saved(flag(), "TIFF", compression="jpeg"),
        "big tiff": saved(flag(), "TIFF", big_tiff=True),
        "webp": saved(flag(), "WEBP", quality=95),
        "webp lossless": saved(flag(), "WEBP", lossless=True),
        "bmp": saved(flag(), "BMP"),
        "gif": saved(flag(), "GIF"),
        "jpeg 2000": saved(flag(), "JPEG2000"),
        "jpeg 2000 bare": saved(flag(), "JPEG2000", no_jp2=True),
        "heic": saved(flag(), "HEIF", quality=95),
        "avif": saved(flag(), "AVIF", quality=95),
        "pnm": saved(flag(), "PPM"),
        "mpo": saved(flag(), "MPO", save_all=True, append_images=[flag()]),
    }


def bilevel() -> Image.Image:
    """An inch of ink amid two by two inches of paper, at 200 dpi."""
    image = Image.new("1", (400, 400), 1)
    image.paste(0, (100, 100, 300, 300))
    return image


def scanned() -> dict[str, bytes]:
    """`bilevel` as an image object of a PDF, in every compression."""
    size = (400, 400)
    colour, inks = bilevel().convert("RGB"), bilevel().convert("CMYK")
    fax = b"CCITTFaxDecode/DecodeParms<</K -1/Columns 400/Rows 400>>"
    adobe = b"DCTDecode/Decode[1 0 1 0 1 0 1 0]"
    return {
        "jpeg": image_object(size, saved(colour, "JPEG"), b"DCTDecode"),
        "cmyk jpeg": image_object(size, saved(inks, "JPEG"), adobe, colour=b"CMYK"),
        "jpeg 2000": image_object(size, saved(colour, "JPEG2000"), b"JPXDecode"),
        "ccitt": image_object(size, group4(bilevel()), fax, bits=1, colour=b"Gray"),
        "jbig2": image_object(size, jbig2(bilevel()), b"JBIG2Decode", bits=1, colour=b"Gray"),
    }


def of_text(pages: int) -> pymupdf.Document:
    """Pages of many lines, as an exporting program writes them."""
    document = pymupdf.open()
    for number in range(pages):
        sheet = document.new_page()
        for line in range(40):
            sheet.insert_text((72, 72 + 16 * line), f"Page {number}, line {line}, of a report.")
    return document


def annotated() -> bytes:
    """A page with content (red, top left), a stamp (green) and a form's field (blue)."""
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 100 100]"
    return one_page(
        b"1 0 0 rg 0 300 100 100 re f",
        box=b"[0 0 400 400]",
        page=b"/Annots[10 0 R 11 0 R]",
        more={
            10: b"<</Type/Annot/Subtype/Stamp/F 4/Rect[300 300 400 400]/AP<</N 12 0 R>>>>",
            11: b"<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/F 4/Rect[0 0 100 100]"
            b"/AP<</N 13 0 R>>>>",
            12: stream(b"0 1 0 rg 0 0 100 100 re f", form),
            13: stream(b"0 0 1 rg 0 0 100 100 re f", form),
        },
    )


def all_files() -> dict[str, bytes]:
    """Everything above as whole files, and a few more."""
    pdfs = {f"pdf, {name}": scan(image, box=(144, 144)) for name, image in scanned().items()}
    return {
        **images(),
        **pdfs,
        "pdf, drawn": one_page(flag_content(300, 400)),
        "pdf, many pages": many_pages(5),
        "pdf, text": of_text(2).tobytes(),
        "pdf, packed": of_text(2).tobytes(deflate=True, garbage=3, use_objstms=1),
        "pdf, encrypted": of_text(1).tobytes(encryption=5, owner_pw="open"),
        "pdf, annotated": annotated(),
        "tiff, pages": tiff(grey_frame(10), grey_frame(120, width=50), grey_frame(240)),
        "fax": saved(bilevel(), "TIFF", compression="group3", dpi=(204, 98)),
        "fax, fine": saved(bilevel(), "TIFF", compression="group4", dpi=(204, 196)),
        "moving gif": saved(flag(), "GIF", save_all=True, append_images=[flag().rotate(180)]),
        "deep png": saved(Image.new("I;16", (40, 30), 4000), "PNG"),
        "float tiff": saved(Image.new("F", (40, 30), 0.5), "TIFF"),
    }
