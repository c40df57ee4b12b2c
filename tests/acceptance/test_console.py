"""The console in Debian's Chromium, as an admin walks it; the screenshots stay in .tests/console.

One walk in order, a step a test: finds a study, reads its timeline, gives up and retries a dead
letter, enters a reading and sees the new report, assigns an image, proves and exports the record.
Every page is looked at by axe-core, in both colours.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from node.audit.query import Question, ask
from tests.console_site import ConsoleSite, a_console_site
from tests.peers import require

pytestmark = pytest.mark.peers

PICTURES = Path(__file__).parents[2] / ".tests" / "console"
AXE = Path(__file__).parents[2] / ".venv" / "axe-core-4.14.1" / "package" / "axe.min.js"
GRAVE = {"serious", "critical"}


@dataclass
class Walk:
    """A browser window on the console, and what went wrong in it."""

    site: ConsoleSite
    browser: Browser
    page: Page
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Go to a page of the console."""
        self.page.goto(self.site.url + path)
        return self.page

    def picture(self, name: str) -> None:
        """Keep what is seen."""
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def a_walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    chromium = require("chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        sync_playwright() as playwright,
        a_console_site(tmp_path_factory.mktemp("console")) as site,
    ):
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
        page.set_default_timeout(20_000)
        expect.set_options(timeout=15_000)
        walk = Walk(site, browser, page)
        page.on("pageerror", lambda error: walk.faults.append(str(error)))
        page.on(
            "console",
            lambda said: walk.faults.append(said.text) if said.type == "error" else None,
        )
        yield walk
        browser.close()


def test_the_overview_shows_what_waits_and_goes_on_by_itself(a_walk: Walk) -> None:
    page = a_walk.open("")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_text("SIMULATED MODEL")).to_be_visible()
    waits = page.get_by_role("region", name="Waits for a person")
    expect(waits).to_contain_text("P-1002")
    expect(page.get_by_role("region", name="This node")).to_contain_text("simulated 2")
    before = page.locator("#queue-title + p").inner_text()
    expect(page.locator("#queue-title + p")).not_to_have_text(before)
    a_walk.picture("overview")


def test_an_admin_finds_a_study_by_the_beginning_of_a_name(a_walk: Walk) -> None:
    page = a_walk.page
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.get_by_role("heading", name="Studies")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("mill")
    expect(page.get_by_role("link", name="Okafor, Ben")).to_have_count(0)
    a_walk.picture("studies")
    page.get_by_role("link", name="Miller, Anna").click()
    expect(page.get_by_role("heading", name="Miller, Anna")).to_be_visible()


def test_its_page_shows_image_outline_report_and_timeline(a_walk: Walk) -> None:
    page = a_walk.open(_pages(a_walk)["study"])
    assert page.locator(".viewer img").evaluate("image => image.naturalWidth") == 800
    outline = page.locator(".viewer .outline")
    expect(outline).to_be_visible()
    page.keyboard.press("i")
    expect(outline).to_be_hidden()
    page.keyboard.press("i")
    report = page.locator("article.sr")
    expect(report).to_contain_text("Oncology Measurement Report")
    expect(report).to_contain_text(re.compile(r"Probability of cancer\s*\d+\.\d+ %"))
    expect(report).to_contain_text("NOT FOR DIAGNOSIS")
    steps = page.get_by_role("region", name="Timeline").get_by_role("listitem")
    expect(steps.first).to_contain_text("First byte")
    expect(steps.filter(has_text="Proven in the archive").first).to_contain_text("pacs")
    expect(steps.filter(has_text="Delivery failed").first).to_contain_text("vna")
    a_walk.picture("study")


def test_an_admin_gives_a_delivery_up_and_retries_the_dead_letter(a_walk: Walk) -> None:
    page = a_walk.open(_pages(a_walk)["study"])
    page.get_by_role("button", name="Cancel job").click()
    expect(page.get_by_role("status")).to_contain_text("stopped")
    page.keyboard.press("g")
    page.keyboard.press("f")
    dead = page.get_by_role("row").filter(has_text="P-1001")
    expect(dead).to_contain_text("vna: dead")
    a_walk.picture("failures")
    a_walk.site.door.set()
    dead.get_by_role("button", name="Retry job").click()
    expect(page.get_by_role("status")).to_contain_text("goes on")
    a_walk.site.wait_for("done")
    a_walk.open("/studies?patient=P-1001")
    expect(page.get_by_role("row").filter(has_text="Miller")).to_contain_text("done")
    (retried,) = _ledger(a_walk, "retried")
    assert retried["actor"].startswith("person:")


def test_an_admin_enters_a_reading_and_sees_the_new_report(a_walk: Walk) -> None:
    page = a_walk.open(_pages(a_walk)["study"])
    page.get_by_role("link", name="Enter a reading").click()
    expect(page.locator(".viewer .outline")).to_be_visible()
    page.get_by_label("Max. diameter in mm").fill("a hand")
    page.get_by_role("button", name="Keep the reading").click()
    expect(page.get_by_role("alert")).to_contain_text("number of millimetres")
    page.get_by_label("Max. diameter in mm").fill("33,5")
    page.get_by_label("Poorly defined").check()
    page.get_by_label("Read by").fill("Dr. Ada Reader")
    a_walk.picture("reading")
    page.get_by_role("button", name="Keep the reading").click()
    expect(page.get_by_role("status")).to_contain_text("new report supersedes")
    a_walk.site.wait_for("done", jobs=2)
    page.reload()
    report = page.locator("article.sr")
    expect(report).to_contain_text(re.compile(r"Diameter\s*33\.5 mm"))
    expect(report).to_contain_text("Dr. Ada Reader")
    expect(report).to_contain_text("Supersedes")
    expect(page.get_by_text(re.compile("Read by Dr. Ada Reader, 20"))).to_be_visible()
    page.get_by_text("Generations and objects (2)").click()
    expect(page.get_by_role("region", name="Generations and objects")).to_contain_text("superseded")
    a_walk.picture("study-read")


def test_an_admin_says_which_image_was_drawn_on(a_walk: Walk) -> None:
    page = a_walk.open("/failures?show=held")
    page.get_by_text("Assign an image").click()
    page.get_by_label("Second look").check()
    a_walk.picture("held")
    page.get_by_role("button", name="Assign", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("assigned")
    a_walk.site.wait_for("done", jobs=3)
    (assigned,) = _ledger(a_walk, "assigned")
    assert assigned["detail"]["frame"] == 1


def test_an_admin_withdraws_a_report(a_walk: Walk) -> None:
    page = a_walk.open("/studies?patient=P-1002")
    page.get_by_role("link", name="Okafor, Ben").click()
    page.get_by_text("Withdraw the report").click()
    page.get_by_label("Why").fill("The wrong image")
    page.get_by_role("button", name="Withdraw it everywhere").click()
    expect(page.get_by_role("status")).to_contain_text("withdrawn")
    expect(page.get_by_text("report withdrawn").first).to_be_visible()
    assert _ledger(a_walk, "withdrawn")


def test_an_admin_asks_proves_keeps_a_question_and_exports(a_walk: Walk) -> None:
    page = a_walk.open("/audit")
    page.locator("summary").filter(has_text="Ready questions").click()
    page.get_by_role("link", name="Who did what?").click()
    expect(page.get_by_role("region", name="Answer")).to_contain_text("retried")
    a_walk.picture("question")
    a_walk.open("/audit")
    page.get_by_label("Patient ID").fill("P-1001")
    page.get_by_role("button", name="Search").click()
    page.locator("summary").filter(has_text="Kept questions").click()
    page.get_by_label("Keep this search as").fill("Anna Miller's record")
    page.get_by_role("button", name="Keep").click()
    page.locator("summary").filter(has_text="Kept questions").click()
    expect(page.get_by_role("link", name="Anna Miller's record")).to_be_visible()
    page.locator("summary").filter(has_text="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export", exact=True).click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    assert {row["patient"] for row in rows} == {"P-1001"}
    assert {"received", "assessed", "proven", "retried"} <= {row["event"] for row in rows}
    (exported,) = _ledger(a_walk, "exported")
    assert exported["detail"]["rows"] == len(rows)
    assert exported["detail"]["question"] == {"patient": "P-1001"}
    page.locator("summary").filter(has_text="Proof of the record").click()
    page.get_by_role("button", name="Prove it now").click()
    expect(page.get_by_role("status")).to_contain_text("being proven")
    proof = page.locator("#chain")
    expect(proof).to_contain_text(" rows in ")
    expect(proof.locator(".chip")).to_have_text("intact")
    a_walk.picture("audit")


def _ledger(walk: Walk, event: str) -> list[dict[str, Any]]:
    return ask(walk.site.node.database(), Question(event=event))


@pytest.mark.parametrize(
    ("colours", "names"),
    [
        ("light", ("studies", "study", "audit")),
        pytest.param("light", (), marks=pytest.mark.bench),
        pytest.param("dark", (), marks=pytest.mark.bench),
    ],
    ids=["some", "light", "dark"],
)
def test_no_page_has_a_serious_accessibility_fault(
    a_walk: Walk, colours: str, names: tuple[str, ...]
) -> None:
    if not AXE.is_file():
        if os.environ.get("CI") == "true":
            pytest.fail("the peer axe-core is missing: deploy/setup.sh test fetches it by npm")
        pytest.skip("the peer axe-core is missing")
    script = AXE.read_text(encoding="utf-8")
    site, faults = a_walk.site, []
    context = a_walk.browser.new_context(
        color_scheme="dark" if colours == "dark" else "light",
        viewport={"width": 1280, "height": 900},
    )
    page = context.new_page()
    # axe comes from the page's own origin, as the policy wants it; nothing of it is weakened.
    page.route("**/static/axe.js", lambda route: _give(route, script))
    every = _pages(a_walk)
    for name in names or every:
        page.goto(site.url + every[name])
        if name == "monitoring":
            expect(page.locator(".plot").first).to_be_visible(timeout=60_000)
        page.add_script_tag(url="/static/axe.js")
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        faults += [
            (name, fault["id"], fault["nodes"][0]["html"][:200])
            for fault in found["violations"]
            if fault["impact"] in GRAVE
        ]
        page.screenshot(path=PICTURES / f"{name}-{colours}.png", full_page=True)
    context.close()
    assert not faults


@pytest.mark.bench
def test_every_page_fits_a_narrow_window(a_walk: Walk) -> None:
    context = a_walk.browser.new_context(viewport={"width": 390, "height": 844})
    page, wide = context.new_page(), {}
    for name, path in _pages(a_walk).items():
        page.goto(a_walk.site.url + path)
        beyond = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        if beyond > 0:
            wide[name] = beyond
        page.screenshot(path=PICTURES / f"{name}-narrow.png", full_page=True)
    context.close()
    assert not wide


def test_the_switch_of_colours_is_remembered_and_nothing_broke_on_the_way(a_walk: Walk) -> None:
    page = a_walk.open("")
    page.get_by_role("button", name="Use dark colours").click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.get_by_role("button", name="Use light colours").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    # A script, a style or a picture that the policy refused would have been told here.
    assert [fault for fault in a_walk.faults if "422" not in fault] == []


def _give(route: Route, script: str) -> None:
    route.fulfill(body=script, content_type="text/javascript")


def _pages(walk: Walk) -> dict[str, str]:
    (miller,) = {job["study"] for job in walk.site.node.jobs() if job["patient"] == "P-1001"}
    return {
        "overview": "",
        "studies": "/studies",
        "study": f"/studies/{miller}",
        "failures": "/failures",
        "bundles": "/bundles",
        "study-report": "/bundles/study",
        "shadow": "/bundles/shadow",
        "monitoring": "/monitoring",
        "audit": "/audit",
        "question": "/audit/questions/9",
        "settings": "/settings",
        "problem": "/studies/1.2.3",
    }
