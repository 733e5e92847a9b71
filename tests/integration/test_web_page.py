"""The page for people, in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest
from PIL import Image

from tests.support.needs import chromium, needs, slow
from tests.support.printed import printed
from tests.support.site import Site, site, until
from tests.support.waiting import HANG_S

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, StorageState

pytestmark = needs("chromium")

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]


def scan(*lines: str) -> bytes:
    """A page with these lines, each a block of its own."""
    held = io.BytesIO()
    printed(*lines, height=1200).save(held, "PNG")
    return held.getvalue()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # who collects tests need not wait for it

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        yield started
        started.close()


def context_of(browser: Browser, **options: Any) -> BrowserContext:
    """A visitor who waits as long as a busy machine takes."""
    context = browser.new_context(**options)
    context.set_default_timeout(1000 * HANG_S)
    return context


@pytest.fixture(scope="module")
def logged_in(browser: Browser, running: Site) -> StorageState:
    """What the browser keeps of a login."""
    context = context_of(browser)
    log_in(context.new_page(), running)
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def page(browser: Browser, running: Site, logged_in: StorageState) -> Iterator[Page]:
    """Somebody who is logged in; what the browser complains of fails the test."""
    size = {"width": 1200, "height": 900}
    context = context_of(browser, viewport=size, storage_state=logged_in)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    opened.goto(running.url)
    yield opened
    context.close()
    assert complaints == []


def log_in(opened: Page, running: Site, role: str = "operate") -> None:
    opened.goto(running.url)
    assert opened.url == f"{running.url}/login"
    opened.get_by_label("Token").fill(running.tokens[role])
    opened.get_by_role("button", name="Log in").click()
    opened.wait_for_url(f"{running.url}/")


def handed_over(running: Site, name: str, content: bytes) -> int:
    with running.client() as client:
        answer = client.post("/api/v1/ocr", params={"name": name, "wait": 240}, content=content)
        return int(answer.json()["id"])


def test_a_file_is_sent_and_its_job_appears_by_itself(
    page: Page, running: Site, tmp_path: Path
) -> None:
    (tmp_path / "from the browser.png").write_bytes(scan("Sent from a browser"))
    page.get_by_label("Files").set_input_files(tmp_path / "from the browser.png")
    page.get_by_role("button", name="Send").click()
    link = page.locator("#sent a")
    link.wait_for()
    row = page.locator("#jobs tr", has_text="from the browser.png")
    row.filter(has_text="done").wait_for()
    link.click()
    page.get_by_text("Sent from a browser").first.wait_for()


def test_a_page_that_was_asked_for_is_shown_after_logging_in(
    browser: Browser, running: Site
) -> None:
    number = handed_over(running, "asked for.png", scan("Asked for by a link"))
    context = context_of(browser)
    opened = context.new_page()
    opened.goto(f"{running.url}/jobs/{number}?q=link")
    opened.get_by_label("Token").fill("wrong")
    opened.get_by_role("button", name="Log in").click()
    opened.get_by_text("This token is not known").wait_for()
    opened.get_by_label("Token").fill(running.tokens["read"])
    opened.get_by_role("button", name="Log in").click()
    opened.wait_for_url(f"{running.url}/jobs/{number}?q=link")
    context.close()


def test_a_link_in_a_letter_leads_to_the_job_of_who_is_logged_in(page: Page, running: Site) -> None:
    """A mail's or a chat's page is another site."""
    number = handed_over(running, "linked.png", scan("Linked from elsewhere"))
    page.goto(f"data:text/html,<a href='{running.url}/jobs/{number}'>your scan</a>")
    page.get_by_role("link", name="your scan").click()
    page.get_by_text("Linked from elsewhere").first.wait_for()


@pytest.mark.parametrize(
    "back", ["//evil.example/", "https://evil.example/jobs/1", "/\\evil.example", "/logout", "x"]
)
def test_after_logging_in_nobody_is_led_elsewhere(running: Site, back: str) -> None:
    with httpx.Client(base_url=running.url) as client:
        form = client.get("/login", params={"back": back}).text
        csrf = form.split('name="csrf" value="')[1].split('"')[0]
        data = {"secret": running.tokens["read"], "csrf": csrf, "back": back}
        answer = client.post("/login", data=data)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_who_is_logged_out_meanwhile_is_told_so(page: Page, running: Site, tmp_path: Path) -> None:
    (tmp_path / "late.png").write_bytes(scan("Too late"))
    page.context.clear_cookies()
    page.get_by_label("Files").set_input_files(tmp_path / "late.png")
    page.get_by_role("button", name="Send").click()
    said = page.locator("#sent .bad")
    said.wait_for()
    assert "you are logged out" in said.inner_text()


@pytest.mark.parametrize("scripts", [True, pytest.param(False, marks=slow)])
def test_a_job_that_waits_is_shown_once_it_is_done(
    browser: Browser, tmp_path: Path, scripts: bool
) -> None:
    """From before the first daemon ever ran to the text, and nobody reloads."""
    with site(tmp_path / "srv", daemon=False) as up:
        context = context_of(browser, java_script_enabled=scripts)
        opened = context.new_page()
        log_in(opened, up)
        opened.get_by_text("Daemon stopped").wait_for()
        (tmp_path / "first.png").write_bytes(scan("Read while one looks"))
        opened.get_by_label("Files").set_input_files(tmp_path / "first.png")
        opened.get_by_role("button", name="Send").click()
        if scripts:
            opened.locator("#sent a").click()
        opened.get_by_text("until the daemon runs").wait_for()
        up.start_daemon()
        opened.get_by_text("Read while one looks").first.wait_for()
        if scripts:
            opened.keyboard.press("n")
            assert opened.evaluate("location.hash") == "#page-1"
        context.close()


def test_without_a_script_the_form_sends_its_files(
    browser: Browser, running: Site, tmp_path: Path
) -> None:
    context = context_of(browser, java_script_enabled=False)
    opened = context.new_page()
    log_in(opened, running)
    (tmp_path / "no script.png").write_bytes(scan("Sent without a script"))
    opened.locator("select[name=folder]").select_option("private")
    opened.get_by_label("Files").set_input_files(tmp_path / "no script.png")
    opened.get_by_role("button", name="Send").click()
    opened.get_by_role("heading", name="no script.png").wait_for()
    assert "private" in opened.locator("main").inner_text()
    (tmp_path / "empty.png").touch()
    opened.goto(running.url)
    opened.get_by_label("Files").set_input_files(tmp_path / "empty.png")
    opened.get_by_role("button", name="Send").click()
    opened.get_by_text("empty.png is empty").wait_for()
    context.close()


def test_what_a_proxy_refuses_is_not_shown_as_sent(
    page: Page, running: Site, tmp_path: Path
) -> None:
    from playwright.sync_api import Route

    (tmp_path / "large.png").write_bytes(scan("Too large for it"))
    for status, words in ((413, "client_max_body_size"), (502, "502"), (200, "200")):
        answer = partial(Route.fulfill, status=status, body="<html>the proxy's own</html>")
        page.goto(running.url)
        page.route("**/api/v1/ocr?*", answer)
        page.get_by_label("Files").set_input_files(tmp_path / "large.png")
        page.get_by_role("button", name="Send").click()
        page.locator("#sent .bad", has_text=words).wait_for()
        page.unroute("**/api/v1/ocr?*")


def test_a_page_lies_beside_its_text_and_both_light_up_together(page: Page, running: Site) -> None:
    number = handed_over(running, "lit.png", scan("The upper line of it", "The lower line"))
    page.goto(f"{running.url}/jobs/{number}")
    picture = page.locator(".sheet img")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1000
    block = page.locator(".block", has_text="The lower line")
    block.focus()
    name = block.get_attribute("data-block")
    lit = page.locator("rect.lit")
    assert lit.get_attribute("data-block") == name
    box, sheet = lit.bounding_box(), page.locator(".sheet").bounding_box()
    assert box is not None and sheet is not None
    middle = (box["y"] + box["height"] / 2 - sheet["y"]) / sheet["height"]
    assert 0.35 < middle < 0.42  # the second line stands at 420 of 1200


@slow
def test_pages_are_turned_over_by_keys(page: Page, running: Site) -> None:
    held = io.BytesIO()
    sheets = [Image.open(io.BytesIO(scan(f"Sheet number {n}"))) for n in (1, 2, 3)]
    sheets[0].save(held, "TIFF", save_all=True, append_images=sheets[1:])
    number = handed_over(running, "three.tif", held.getvalue())
    page.goto(f"{running.url}/jobs/{number}")
    for key, expected in [("n", 2), ("ArrowRight", 3), ("n", 3), ("p", 2), ("ArrowLeft", 1)]:
        page.keyboard.press(key)
        assert page.evaluate("location.hash") == f"#page-{expected}"


@slow
def test_a_search_leads_to_the_page_with_its_block_marked(page: Page, running: Site) -> None:
    number = handed_over(running, "sought.png", scan("Nothing of note here", "Quixotic zeppelin"))
    found = f"{running.url}/api/v1/search?q=quixotic"
    until(lambda: running.client().get(found).json()["hits"])
    page.keyboard.press("/")
    page.keyboard.type("quixotic")
    page.keyboard.press("Enter")
    page.get_by_role("link", name=re.compile("sought.png")).click()
    page.wait_for_url(re.compile(f"/jobs/{number}"))
    page.locator(".block.hit").first.wait_for()
    assert page.locator(".block.hit").all_inner_texts() == ["Quixotic zeppelin"]


@slow
def test_what_failed_is_said_with_its_remedy_and_can_be_retried(page: Page, running: Site) -> None:
    number = handed_over(running, "no scan.pdf", b"%PDF-1.7 and nothing else")
    page.goto(running.url)
    failure = page.locator("#jobs article", has_text="no scan.pdf")
    failure.wait_for()
    assert running.client().get(f"/api/v1/jobs/{number}").json()["error"]["hint"][:20] in (
        failure.inner_text()
    )
    failure.get_by_role("button", name="Retry").click()
    page.wait_for_url(f"{running.url}/jobs/{number}")


def test_two_people_at_one_job_see_what_the_other_does(
    browser: Browser, running: Site, logged_in: StorageState
) -> None:
    number = handed_over(running, "shared.pdf", b"%PDF-1.7 and nothing else")
    contexts = [context_of(browser, storage_state=logged_in) for _ in range(2)]
    both = [context.new_page() for context in contexts]
    for each in both:
        each.goto(f"{running.url}/jobs/{number}")
    for time, (acts, sees) in enumerate([both, both[::-1]]):
        acts.get_by_role("button", name="Retry").click()
        sees.locator("li", has_text="retried").nth(time).wait_for(state="attached")
    for context in contexts:
        context.close()


HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(4)"><script>alert(5)</script></svg>'


def test_a_hostile_name_and_hostile_text_are_shown_and_do_nothing(
    page: Page, running: Site
) -> None:
    drawn = handed_over(running, "drawing.svg", SVG)
    page.goto(f"{running.url}/jobs/{drawn}")
    picture = page.goto(f"{running.url}/jobs/{drawn}/page/1.jpg")
    assert picture is not None and "svg" not in picture.headers["content-type"]
    number = handed_over(running, f"{HOSTILE}.png", scan("<script>alert(3)</script>", "[x](//y)"))
    for path in ("/", f"/jobs/{number}", "/search?q=script", f"/search?q={HOSTILE}"):
        page.goto(running.url + path)
        assert page.locator("main script, main img[src=x]").count() == 0
    policy = httpx.get(f"{running.url}/login").headers["content-security-policy"]
    assert "default-src 'self'" in policy


def test_a_change_that_no_page_of_ours_asked_for_is_refused(page: Page, running: Site) -> None:
    number = handed_over(running, "forged.png", scan("Forged"))
    cookies = {each["name"]: each["value"] for each in page.context.cookies()}
    for path, options in [
        (f"/jobs/{number}/cancel", {"data": {"csrf": "0" * 48}}),
        ("/", {"data": {"csrf": "0" * 48}, "files": {"files": b"a forged scan"}}),
        ("/", {"files": {"files": b"a forged scan"}}),
        ("/api/v1/ocr?name=x.png", {"content": b"x"}),
        (f"/api/v1/jobs/{number}/retry", {}),
        ("/logout", {"data": {"csrf": "0" * 48}}),
    ]:
        answer = httpx.post(running.url + path, cookies=cookies, **options)  # type: ignore[arg-type]  # one table for several kinds of body
        assert answer.status_code == 403, path
    (session,) = [each for each in page.context.cookies() if each["name"] == "ocrd_session"]
    assert session["httpOnly"] and session["sameSite"] == "Lax"


@slow
def test_logging_out_ends_it(page: Page, running: Site) -> None:
    page.context.clear_cookies()  # the other tests' login goes on
    log_in(page, running)
    cookies = {each["name"]: each["value"] for each in page.context.cookies()}
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{running.url}/login")
    assert httpx.get(f"{running.url}/api/v1/status", cookies=cookies).status_code == 401


def test_a_reader_is_offered_nothing_that_they_may_not_do(browser: Browser, running: Site) -> None:
    context = context_of(browser)
    opened = context.new_page()
    log_in(opened, running, "read")
    assert opened.get_by_role("button", name="Send").count() == 0
    assert opened.get_by_role("button", name="Retry").count() == 0
    context.close()


@slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_axe_finds_no_violation_on_any_page(
    browser: Browser, running: Site, scheme: Literal["light", "dark"], width: int
) -> None:
    """https://github.com/dequelabs/axe-core, all of its rules."""
    done = handed_over(running, "seen.png", scan("A heading of it", "and a line"))
    failed = handed_over(running, "unseen.pdf", b"%PDF-1.7 and nothing else")
    context = context_of(
        browser,
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    opened = context.new_page()
    opened.goto(f"{running.url}/login")
    found = {"/login": told_by_axe(opened)}
    log_in(opened, running)
    shown = ("/", "/jobs", f"/jobs/{done}", f"/jobs/{failed}", "/search?q=heading", "/docs")
    for path in (*shown, "/nowhere"):
        opened.goto(running.url + path)
        found[path] = told_by_axe(opened)
        assert opened.evaluate("document.documentElement.scrollWidth") <= width, path
    context.close()
    assert found == {path: [] for path in found}


def told_by_axe(opened: Page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(opened).response["violations"]
    return [
        f"{each['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
        for each in violations
        for node in each["nodes"]
    ]


SEEN = """() => {
    const at = document.activeElement, style = getComputedStyle(at);
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    const seen = (ring || style.boxShadow !== "none") && at.getBoundingClientRect().width > 0;
    if (at === document.body) return ["", true];
    return [at.name || at.textContent.trim() || at.getAttribute("aria-label"), seen];
}"""


@slow
def test_everything_is_reached_by_the_keyboard_and_is_seen_to_be(page: Page, running: Site) -> None:
    number = handed_over(running, "keys.png", scan("Reached by keys", "and read so"))
    page.goto(running.url)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the skip link
    assert page.evaluate("location.hash") == "#content"
    reached = walked(page, 12)
    assert {"folder", "files", "Send"} <= reached.keys()
    page.goto(f"{running.url}/jobs/{number}")
    on_job = walked(page, 16)
    assert {"Markdown", "All as zip", "Copy the text", "Reached by keys"} <= on_job.keys()
    hidden = [name for name, seen in {**reached, **on_job}.items() if not seen]
    assert hidden == []
    page.locator(".block", has_text="and read so").focus()
    assert page.locator("rect.lit").count() == 1


def walked(page: Page, steps: int) -> dict[str, bool]:
    """What the Tab key comes to, and whether one sees it there."""
    found: dict[str, bool] = {}
    for _ in range(steps):
        page.keyboard.press("Tab")
        name, seen = page.evaluate(SEEN)
        if name:  # nothing is: the browser's own bar has it
            found[name] = seen
    return found


@slow
def test_it_fits_a_phone_and_weighs_little(browser: Browser, running: Site) -> None:
    context = context_of(browser, viewport={"width": 360, "height": 700}, color_scheme="dark")
    opened = context.new_page()
    weights: list[int] = []
    opened.on("response", lambda answer: weights.append(len(answer.body())))
    opened.goto(f"{running.url}/login")
    opened.wait_for_load_state("networkidle")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    assert sum(weights) < 150_000
    context.close()
