"""Makes the pictures of docs/web.md from a real run: `.venv/bin/python -m docs.make_web_pictures`.

The demo's samples go over HTTP to a daemon with the embedded engine, and a browser looks at it.
"""

from __future__ import annotations

import io
import tempfile
from importlib import resources
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from ocrd.cli.demo import SAMPLES
from tests.support.needs import chromium
from tests.support.site import Site, site

PICTURES = Path(__file__).parent / "pictures"
COLOURS = 96  # enough for text on paper, a third of the bytes


def sent(running: Site) -> dict[str, int]:
    """Every sample, and a document that cannot be read; job numbers by name."""
    samples = resources.files("ocrd").joinpath("samples")
    documents = {name: samples.joinpath(name).read_bytes() for name in SAMPLES}
    documents["half a fax.pdf"] = b"%PDF-1.7 and nothing else"
    with running.client() as client:
        return {
            name: client.post(
                "/api/v1/ocr", params={"name": name, "wait": 300}, content=content
            ).json()["id"]
            for name, content in documents.items()
        }


def taken(page: Page, name: str) -> None:
    """What the browser shows, as a small PNG."""
    page.wait_for_load_state("networkidle")
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    small = shot.quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(PICTURES / name, optimize=True)
    print(f"{name}: {(PICTURES / name).stat().st_size / 1000:.0f} kB")


def main() -> None:
    """All of them."""
    with tempfile.TemporaryDirectory() as top, site(Path(top) / "srv", real=True) as running:
        jobs = sent(running)
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-gpu"]
            browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
            page = browser.new_page(viewport={"width": 1100, "height": 860}, color_scheme="light")
            page.goto(running.url)
            page.get_by_label("Token").fill(running.tokens["operate"])
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url(f"{running.url}/")
            taken(page, "web-now.png")
            page.goto(f"{running.url}/jobs/{jobs['two-columns.png']}")
            page.locator(".sheet img").first.evaluate("image => image.decode()")
            page.locator(".block").nth(2).focus()
            taken(page, "web-job.png")
            page.set_viewport_size({"width": 390, "height": 760})
            page.emulate_media(color_scheme="dark")
            page.goto(running.url)
            taken(page, "web-phone.png")
            browser.close()


if __name__ == "__main__":
    main()
