"""The report in headless Chromium: nothing is fetched, all of it can be read, reached by keyboard, printed, and seen on a phone.

SHOTS=DIRECTORY keeps the screenshots there, to be looked at.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import run_documents
from ansible.module_utils.rollout.controller.report import page as run_page

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make test-browser")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome-stable", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(not BROWSER, reason="there is no Chromium on this machine")

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PHONE, DESK, PAPER = {"width": 360, "height": 740}, {"width": 1200, "height": 900}, {"width": 690, "height": 975}
every_run = pytest.mark.parametrize("run", run_documents.ALL)
every_page = pytest.mark.parametrize("run", [*run_documents.ALL, "index"])
schemes = pytest.mark.parametrize("scheme", ["light", "dark"])

# Each text on the page with its contrast to what is behind it: luminances as WCAG 2 has them.
CONTRASTS = """() => {
  const numbers = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = numbers(colour).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const probe = document.body.appendChild(document.createElement("i"));
  const variable = (name) => {
    probe.style.setProperty("color", `var(--${name})`);
    return getComputedStyle(probe).color;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || element.closest("title, desc, style")) continue;
    const svg = element.closest("svg");
    const colour = getComputedStyle(element)[svg ? "fill" : "color"];
    for (const back of svg ? [variable("paper"), variable("faint")] : [behind(element)])
      found.push({ what: text.slice(0, 40), least: 4.5, ratio: contrast(colour, back) });
  }
  const bars = ["stage", "pull", "drain", "stop", "start", "health", "torch", "settle", "revert", "other", "out", "bad"];
  for (const bar of bars)
    for (const back of ["paper", "faint"])
      found.push({ what: `${bar} on ${back}`, least: 3, ratio: contrast(variable(bar), variable(back)) });
  probe.remove();
  return found;
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Name of a run -> the file of its report; ``index`` too."""
    directory = tmp_path_factory.mktemp("reports")
    documents = {name: make() for name, make in run_documents.ALL.items()}
    texts = {name: run_page.page(document) for name, document in documents.items()}
    texts["index"] = run_page.index([run_page.summary(document) for document in documents.values()])
    for name, text in texts.items():
        (directory / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: directory / f"{name}.html" for name in texts}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=BROWSER, args=[*QUIET, "--no-first-run"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, pages):
    """Open a page; when the test is over it must have fetched and complained about nothing."""
    contexts, requests, complaints = [], [], []

    def visit_page(name, size=DESK, scheme="light"):
        context = browser.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        context.on("request", lambda request: requests.append(request.url))
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(pages[name].as_uri())
        return page

    yield visit_page
    for context in contexts:
        context.close()
    assert not complaints
    assert len(requests) == len(contexts)
    assert set(requests) <= {path.as_uri() for path in pages.values()}


def shoot(page, name, tmp_path):
    directory = Path(os.environ.get("SHOTS") or tmp_path)
    directory.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=directory / f"{name}.png", full_page=True)


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")


@every_page
@schemes
def test_texts_and_bars_stand_out(visit, run, scheme, tmp_path):
    page = visit(run, scheme=scheme)
    shoot(page, f"{run}-{scheme}", tmp_path)
    unfold(page)
    found = page.evaluate(CONTRASTS)
    assert len(found) > 30
    assert [f"{f['what']}: {f['ratio']:.2f}" for f in found if f["ratio"] < f["least"]] == []


@schemes
def test_the_schemes_differ(visit, scheme):
    red = page_background(visit("succeeded", scheme=scheme))
    assert red > 200 if scheme == "light" else red < 50


def page_background(page):
    return page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")


@every_page
def test_a_phone_need_not_scroll_sideways(visit, run, tmp_path):
    page = visit(run, PHONE)
    shoot(page, f"{run}-phone", tmp_path)
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    # What is wider scrolls in a box of its own.
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every((b) => b.getBoundingClientRect().right <= innerWidth)")


@every_run
def test_print_is_light_and_whole(visit, run, tmp_path):
    page = visit(run, PAPER, "dark")
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = false; })")
    page.emulate_media(media="print")
    shoot(page, f"{run}-print", tmp_path)
    assert page_background(page) == 255
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER["width"]
    heights = page.evaluate("[...document.querySelectorAll('pre')].map((p) => p.checkVisibility({contentVisibilityAuto: true}))")
    assert heights
    assert all(heights)
    assert page.pdf(format="A4").startswith(b"%PDF")


@every_run
def test_accessibility_tree(visit, run):
    page = visit(run)
    unfold(page)
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("main").count() == 1
    tree = page.locator("body").aria_snapshot()
    tables = [
        "Hosts",
        "Torch and GPUs",
        "Images",
        "Planned changes of services" if run == "refused" else "Services and their outage",
    ]
    pictures = {"succeeded": ["The whole run", "The switch, closer"], "reverted": ["The whole run"], "refused": []}[run]
    for table in [*tables, *(["Timeline: what was done, in order"] if pictures else [])]:
        assert f'table "{table}"' in tree
    assert page.get_by_role("table").count() == len(tables) + bool(pictures)
    assert page.get_by_role("figure").count() == len(pictures)
    for name in pictures:
        assert page.get_by_role("figure", name=name).get_by_role("img", name=name).count() == 1
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((h) => Number(h.tagName[1]))")
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:]))


def focused(page):
    return page.evaluate("(({tagName, className, innerText}) => [tagName, className, innerText])(document.activeElement)")


def test_keyboard(visit):
    page = visit("reverted")
    page.keyboard.press("Tab")
    assert focused(page)[1] == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    seen = []
    for _press in range(60):
        page.keyboard.press("Tab")
        if focused(page)[0] == "BODY":
            break
        seen.append(focused(page))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert len([one for one in seen if one[0] == "SUMMARY"]) == page.locator("summary").count() == 5
    table = page.locator("details", has_text="The timeline as a table").first
    table.locator("summary").focus()
    page.keyboard.press("Enter")
    assert table.evaluate("d => d.open")
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert focused(page)[0] == "MAIN"


ATTACK = (
    "</title></style></svg><script>document.title='taken'</script><img src=http://127.0.0.1:9/x onerror=document.title='taken'>"
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/y'>\" onclick=\"document.title='taken'\" \x1b]52;c;eA==\x07\x1b[8m"
)


def hostile(value, key=""):
    """The same structure, in which every text but those that decide what a page shows is an attack."""
    if isinstance(value, str):
        return value if key in ("started", "action", "verdict", "phase", "from", "to") else ATTACK
    if isinstance(value, dict):
        return {name: hostile(item, name) for name, item in value.items()}
    return [hostile(item, key) for item in value] if isinstance(value, list) else value


@every_run
def test_text_in_a_document_is_only_text(browser, tmp_path, run):
    document = hostile(run_documents.ALL[run]())
    (tmp_path / "report.html").write_text(run_page.page(document))
    (tmp_path / "index.html").write_text(run_page.index([run_page.summary(document)]))
    for name in ("report.html", "index.html"):
        page, requests, dialogs = browser.new_page(), [], []
        page.on("request", lambda request, requests=requests: requests.append(request.url))
        page.on("dialog", lambda dialog, dialogs=dialogs: dialogs.append(dialog.message))
        page.goto((tmp_path / name).as_uri())
        page.wait_for_timeout(200)
        assert page.locator("script, img, iframe, form, [onclick], [onerror]").count() == 0
        assert r"\x1b]52;c;eA==\x07" in page.locator("body").inner_text()
        assert page.title() != "taken"
        assert (len(requests), dialogs) == (1, [])
        page.close()
