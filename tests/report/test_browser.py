"""The page in a real browser: no error on the console, no request to anywhere, nothing wider than a phone."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.report import browser
from pipeline.report.pictures import PICTURES, take
from tests.scratch import Scratch

pytestmark = pytest.mark.skipif(browser.find() is None, reason="there is no Chromium on the PATH")

OWN = "not an origin"  # what the browser notes of its own errands, which no page asked for
# The page in a frame, as no window is as narrow as a phone; what it measures becomes the title, which is dumped:
# how wide the frame and the page are, and who reaches beyond.
FRAME = """<script>addEventListener('message', event => { document.title = event.data })</script>
<iframe src="measured.html" width="WIDTH" height="900" style="border: 0"></iframe>"""
MEASURE = """<script>addEventListener('load', () => {
const all = [...document.querySelectorAll('main *, header *')].filter(e => !e.closest('.scroll, svg, .hidden'));
const wide = all.filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + '.' + e.className);
const found = [innerWidth, document.documentElement.scrollWidth, wide.slice(0, 5)];
parent.postMessage(JSON.stringify(found), '*');
})</script>"""


@dataclass(frozen=True)
class Visit:
    """What a browser did with a page: lines on its console, and addresses that it asked for."""

    console: list[str]
    requests: list[str]


def visit(page: Path, **settings: int | bool) -> Visit:
    """Open a page and write down what comes of it."""
    log = page.parent / "net.json"
    arguments = ("--enable-logging=stderr", f"--log-net-log={log}", "--dump-dom")
    said = browser.browse(page, *arguments, **settings)  # pyright: ignore[reportArgumentType]
    console = re.findall(r'CONSOLE.*?\] "(.*)"', said)
    events = json.loads(log.read_text())["events"]
    asked = [event["params"] for event in events if "initiator" in event.get("params", {})]
    return Visit(console, sorted({each["url"] for each in asked if each["initiator"] != OWN}))


@pytest.fixture(scope="module")
def page(lineage: Scratch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes((lineage.folder / "report.html").read_bytes())
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_loads_without_an_error_and_without_the_network(page: Path, dark: bool) -> None:
    assert visit(page, dark=dark) == Visit([], [])


def test_an_error_and_a_request_would_be_seen(tmp_path: Path) -> None:
    """The same look at a page that has both."""
    page = tmp_path / "bad.html"
    page.write_text("<script>console.error('broken')</script><img src='http://127.0.0.1:9/x.png'>")
    seen = visit(page)
    assert "broken" in seen.console
    assert seen.requests == ["http://127.0.0.1:9/x.png"]


def test_the_page_forbids_itself_to_reach_out(page: Path) -> None:
    """Even with a remote picture in it, the browser asks for nothing: and says so."""
    changed = page.with_name("changed.html")
    changed.write_text(page.read_text().replace("<main", "<img src='http://127.0.0.1:9/x.png' alt='x'><main"))
    seen = visit(changed)
    assert seen.requests == []
    assert any("Content Security Policy" in line for line in seen.console)


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_window(page: Path, width: int) -> None:
    measured = page.with_name("measured.html")
    html = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text())
    measured.write_text(html.replace("</head>", f"{MEASURE}</head>"))
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.replace("WIDTH", str(width)))
    said = browser.browse(frame, "--dump-dom")
    inner, full, wide = json.loads(re.findall(r"<title>(\[.*?\])</title>", said)[0].replace("&quot;", '"'))
    assert (inner, full, wide) == (width, width, [])


def test_pictures_show_something(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    two = [each for each in PICTURES if each.name in ("methods", "phone")]
    monkeypatch.setattr("pipeline.report.pictures.PICTURES", two)
    paths = list(take(page, tmp_path / "pictures"))
    assert [path.name for path in paths] == ["methods.png", "phone.png"]
    for path, picture in zip(paths, two, strict=True):
        image = Image.open(path).convert("RGB")
        assert image.width == picture.width
        assert 200 < image.height <= picture.height
        assert len(image.getcolors(1_000_000) or []) > 50
    assert sorted(path.name for path in page.parent.iterdir() if path.is_dir()) == []
