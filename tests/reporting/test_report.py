"""The report of small tables: what is on it, what is not, and how a browser shows it."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from chromium import PROGRAM, chromium
from PIL import Image
from workflow_runs import ROOT

from convexbn.pipeline import artifacts
from convexbn.reporting.report import duration, report

TEXTS = ROOT / "workflow" / "report"
HOSTILE = "</p><script>alert(1)</script><img src=x onerror=alert(2)> a < b & \"c\" 'd'"
VERDICTS = ["reproduced", "not reproduced", "not resolved", "not run"]
CLAIMS = pd.DataFrame(
    [
        ("E1a", "", "Networks are not below the optimum.", "excess >= 0", "1e-9", VERDICTS[0]),
        ("E3a", "digits", HOSTILE, HOSTILE, HOSTILE, VERDICTS[1]),
        ("E3b", "digits", "Truncation is ahead.", "> 0", "+0.2 [-0.1, 0.5] points", VERDICTS[2]),
        ("E3b", "faces", "Truncation is ahead.", "> 0", "these data are faces", VERDICTS[3]),
        ("Q1", "", "A claim of an experiment that the table does not name.", "1", "1", VERDICTS[0]),
    ],
    columns=["id", "dataset", "statement", "expected", "measured", "verdict"],
)
JUDGED = {
    "convexbn.experiments.theory.statements.exactness": ["E1a"],
    "convexbn.experiments.headline.statements.headline": ["E3a", "E3b"],
}
THEOREMS = pd.DataFrame(
    [
        {"id": "relu", "statement": "p* = d*", "loss": "squared", "penalty": "group"}
        | {"certified": True, "seconds": 0.1}
        | dict.fromkeys(["n", "d", "C", "K", "depth", "P"], 2)
        | dict.fromkeys(["beta", "convex_optimum", "recovered_objective", "best_trained"], 0.5)
        | dict.fromkeys(["relative_difference", "round_trip_difference"], 1e-9)
        | dict.fromkeys(["relative_excess", "relative_gap", "violation"], 1e-8)
    ]
)
SPENT = "s\th:m:s\tmax_rss\n"


class Run:
    """A folder of results that a config asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.page = folder / "report" / "index.html"
        self.figures: list[dict] = []
        self.tables: dict[str, str] = {}

    def table(self, name: str, frame: pd.DataFrame, **parameters) -> None:
        path = self.folder / "tables" / f"{name}.csv"
        artifacts.write_table(path, frame, artifacts.provenance(**parameters))
        self.tables[name] = str(path)

    def figure(self, stem: str, experiment: str, caption: str, group: str, draw=True) -> None:
        png = self.folder / "figures" / f"{stem}.png"
        source = png.with_suffix(".csv")
        if draw:
            png.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (1650, 900), "steelblue").save(png)
            png.with_suffix(".pdf").write_bytes(b"%PDF-1.4")
            artifacts.write_table(source, pd.DataFrame({"a": [1]}), artifacts.provenance())
        figure = {"png": str(png), "pdf": str(png.with_suffix(".pdf")), "tables": [str(source)]}
        figure |= {"caption": str(TEXTS / f"{caption}.rst"), "wildcards": {"dataset": group}}
        self.figures.append(figure | {"experiment": experiment, "group": group, "label": "1 a"})

    def html(self, config=None, sources=None) -> str:
        config = {"seed": 0, "convex": {"full": {"seeds": 5}}} if config is None else config
        sources = {"small.yaml": f"seed: 0  # {HOSTILE}"} if sources is None else sources
        return report(self.page, self.figures, self.tables, TEXTS, config, sources)


@pytest.fixture
def run(tmp_path):
    """Theory, and the headline on two data sets, all finished."""
    run = Run(tmp_path / "my results")
    run.figure("theory/duality", "theory", "theory/duality", "theory")
    run.figure("digits/rank", "headline", "headline/rank", "digits")
    run.figure("faces/rank", "headline", "headline/rank", "faces")
    run.table("claims", CLAIMS, judged=JUDGED)
    run.table("theorems", THEOREMS)
    (run.folder / "benchmarks" / "solve").mkdir(parents=True)
    (run.folder / "benchmarks" / "solve" / "full.tsv").write_text(f"{SPENT}90\t0:01:30\t812.4\n")
    return run


class Parsed(HTMLParser):
    """A page: its elements, texts by the class that they are in, and whether tags are closed."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "hr", "mspace"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[list[str], str]] = []
        self.unmatched: list[str] = []
        self._open: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        self.unmatched += [tag for tag, _ in self._open]

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.elements.append((tag, found))
        if tag not in self.VOID:
            self._open.append((tag, found.get("class", "")))

    def handle_endtag(self, tag):
        if self._open and self._open[-1][0] == tag:
            self._open.pop()
        else:
            self.unmatched.append(f"/{tag}")

    def handle_data(self, data):
        self.texts.append(([word for _, words in self._open for word in words.split()], data))

    def all(self, tag):
        return [found for name, found in self.elements if name == tag]

    def text(self, name=None) -> str:
        return " ".join(data for inside, data in self.texts if name is None or name in inside)


def test_every_claim_has_a_tile_with_its_verdict(run):
    page = run.html()
    tiles = re.findall(r'<article class="tile.*?</article>', page, re.DOTALL)
    assert len(tiles) == len(CLAIMS)
    texts = [Parsed(tile) for tile in tiles]
    found = {(text.text("id"), text.text("verdict").split(maxsplit=1)[1]) for text in texts}
    assert found == set(zip(CLAIMS["id"], CLAIMS["verdict"], strict=True))
    (open_one,) = (text.text("tile") for text in texts if "not resolved" in text.text("verdict"))
    assert all(words in open_one for words in CLAIMS.iloc[2, 1:5])
    classes = [re.search(r"tile (\w+)", tile)[1] for tile in tiles]
    assert len(set(classes)) == len(VERDICTS)  # a colour for each


def test_the_headline_comes_first_and_claims_stand_by_experiment(run):
    page = Parsed(run.html())
    assert [found["id"] for found in page.all("section")] == [
        *("claims", "background", "headline", "theory", "provenance")
    ]
    ids = [data for inside, data in page.texts if inside[-1:] == ["id"]]
    assert ids == ["E3a", "E3b", "E3b", "E1a", "Q1"]
    assert "Other claims" in page.text("claims")


def test_verdicts_are_counted(run):
    (bar,) = (found for found in Parsed(run.html()).all("div") if found.get("class") == "bar")
    assert bar["aria-label"] == "2 reproduced, 1 not reproduced, 1 not resolved, 1 not run"


def test_all_images_are_inside_and_nothing_is_asked_for(run):
    page = Parsed(run.html())
    images = page.all("img")
    assert len(images) == 3
    assert all(image["src"].startswith("data:image/png;base64,iVBOR") for image in images)
    assert all(image["alt"] and image["width"] and image["height"] for image in images)
    assert not page.all("script")
    loaded = [value for tag, found in page.elements for key, value in found.items() if key == "src"]
    loaded += [found["href"] for found in page.all("link")]
    assert all(address.startswith("data:") for address in loaded)
    style = page.text()
    assert "url(" not in style
    assert "@import" not in style


def test_links_lead_to_files_beside_the_page(run):
    links = [found["href"] for found in Parsed(run.html()).all("a")]
    ids = {found.get("id") for _, found in Parsed(run.html()).elements}
    inside = [link[1:] for link in links if link.startswith("#")]
    assert inside
    assert set(inside) <= ids
    files = [unquote(link) for link in links if not link.startswith("#")]
    assert len(files) == 3 * 3 + 2
    assert all((run.page.parent / path).resolve().exists() for path in files)
    assert not [path for path in files if os.path.isabs(path)]


def test_hostile_text_is_text(run):
    html = run.html()
    page = Parsed(html)
    assert "alert" not in json.dumps(page.elements)  # neither an element nor an attribute
    assert not [found for _, found in page.elements if "onerror" in found]
    assert page.text("tile").count(HOSTILE) == 3
    assert HOSTILE in page.text()  # in the config, too


def test_the_page_is_well_formed(run):
    page = Parsed(run.html())
    assert page.unmatched == []
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(ids) == len(set(ids))
    assert page.all("html")[0]["lang"] == "en"


def test_what_is_absent_is_not_there(run):
    run.figures = [figure for figure in run.figures if figure["experiment"] == "theory"]
    del run.tables["claims"], run.tables["theorems"]
    page = Parsed(run.html())
    assert [found["id"] for found in page.all("section")] == ["background", "theory", "provenance"]
    assert not page.all("article")
    assert not page.all("fieldset")
    assert "not made yet" not in page.text().lower()


def test_what_was_not_made_yet_is_named(run):
    run.figure("digits/curves", "headline", "headline/curves", "digits", draw=False)
    run.tables["runs"] = str(run.folder / "tables" / "runs.csv")
    page = Parsed(run.html())
    assert "Not drawn yet: digits-curves." in page.text("note")
    assert "Not made yet: runs." in page.text("note")
    assert len(page.all("img")) == 3


def test_without_anything_it_says_what_to_do(run, tmp_path):
    other = Run(tmp_path / "other")
    other.figure("digits/rank", "headline", "headline/rank", "digits", draw=False)
    with pytest.raises(ValueError, match=r"nothing was made yet for small.yaml.*make reproduce"):
        other.html()


def test_an_unknown_verdict_is_refused(run):
    run.table("claims", CLAIMS.assign(verdict="perhaps"), judged=JUDGED)
    with pytest.raises(ValueError, match=r"verdicts must be one of .*got 'perhaps'"):
        run.html()


def test_an_edited_table_is_refused(run):
    path = Path(run.tables["claims"])
    path.write_text(path.read_text().replace("not resolved", "reproduced"))
    with pytest.raises(ValueError, match="is not as it was written"):
        run.html()


def test_provenance_names_commit_seeds_times_and_config(run):
    page = Parsed(run.html())
    commit = artifacts.provenance()["commit"] or "no checkout"
    assert commit[:12] in page.text("scroll")
    assert "from 0 on; convex: 5" in page.text("facts")
    assert "1.5 min" in page.text("scroll")
    assert "812 MB" in page.text("scroll")
    assert "seed: 0" in page.text("config")
    assert "not all made by the same code" not in page.text()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.84, "0.84 s"), (59.4, "59 s"), (90, "1.5 min"), (7560, "2.1 h"), (float("nan"), "")],
)
def test_durations_have_a_unit_that_fits(seconds, words):
    assert duration(seconds) == words


SIZES = [(360, 640), (768, 1024), (1024, 768), (1440, 900), (1920, 1080)]
# The smallest contrast of text with what is behind it, over all elements that hold text themselves.
CONTRAST = """
(() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = numbers(color).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if ((numbers(color)[3] ?? 1) === 1) return color;
    }
    throw new Error("nothing opaque behind " + element.outerHTML.slice(0, 80));
  };
  document.querySelectorAll("details").forEach((details) => { details.open = true; });
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const pair = [light(style.color), light(behind(element))].sort((a, b) => a - b);
    found.push([(pair[1] + 0.05) / (pair[0] + 0.05), element.outerHTML.slice(0, 120)]);
  }
  return [found.length, ...found.sort((a, b) => a[0] - b[0])[0]];
})()
"""
TOLD = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
in_a_browser = pytest.mark.skipif(PROGRAM is None, reason="finds no chromium or google-chrome")


@pytest.fixture
def opened(run, tmp_path):
    """A browser, and the address of the page."""
    run.page.parent.mkdir()
    run.page.write_text(run.html(), encoding="utf-8")
    with chromium(tmp_path / "profile") as browser:
        yield browser, run.page.as_uri()


@in_a_browser
def test_a_browser_shows_it_at_every_size(opened):
    browser, address = opened
    for width, height in SIZES:
        browser.open(address, width, height)
        assert browser.told(*TOLD) == []  # no error, no warning
        asked = [event["request"]["url"] for event in browser.told("Network.requestWillBeSent")]
        assert {url.split(":")[0] for url in asked} == {"file", "data"}
        loaded = "[...document.images].map((image) => image.complete && image.naturalWidth)"
        assert browser.value(loaded) == [1650] * 3
        end = "document.querySelector('p').getBoundingClientRect().bottom"
        assert browser.value(end) <= height, f"the first paragraph at {width} x {height}"
        assert browser.value("document.documentElement.scrollWidth") <= width
        outside = "[...document.images].filter((i) => i.getBoundingClientRect().right > innerWidth)"
        assert browser.value(f"{outside}.length") == 0


@in_a_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_contrast(opened, dark):
    browser, address = opened
    browser.open(address, 1440, 900, dark=dark)
    is_dark = "getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128"
    assert browser.value(is_dark) == dark
    elements, smallest, where = browser.value(CONTRAST)
    assert elements > 100
    assert smallest >= 4.5, where  # WCAG 2.2, level AA


@in_a_browser
def test_tiles_are_chosen_by_verdict_and_all_are_printed(opened):
    browser, address = opened
    shown = (
        "[...document.querySelectorAll('.tile')].filter((t) => t.getClientRects().length).length"
    )
    browser.open(address, 1440, 900)
    assert browser.value(shown) == len(CLAIMS)
    browser.value("document.querySelector('label[for=only-yes]').click()")
    assert browser.value(shown) == list(CLAIMS["verdict"]).count("reproduced")
    browser.ask("Emulation.setEmulatedMedia", media="print")
    assert browser.value(shown) == len(CLAIMS)
    assert browser.printed().startswith(b"%PDF")
