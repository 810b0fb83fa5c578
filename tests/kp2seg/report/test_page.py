"""The page as a file, and as a browser shows it."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from keypointnet.shapes import make_model
from kp2seg.report.charts import mask_training, object_3d
from kp2seg.report.page import Chart, Gallery, Picture, Section, Table, write_page

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome", "chromium-browser")


def square(grey: int = 120) -> np.ndarray:
    return np.full((40, 60, 3), grey, np.uint8)


def sections() -> list[Section]:
    points = torch.tensor([[0.0, 0.5, 0.1], [0.3, -0.2, 0.4]])
    lines = [{"iteration": i, "loss_mask": 2.0 - 0.1 * i} for i in range(5)]
    return [
        Section(
            "one",
            "Numbers & <signs>",
            ("A paragraph.",),
            [Table(("", "AP"), [("ours", "0.5"), ("<theirs>", "0.4")], "a caption")],
        ),
        Section(
            "two",
            "Charts",
            (),
            [
                Chart(mask_training({"a": lines}), "curve", "a falling curve", "caption", 200),
                Chart(object_3d(make_model("chair", 3), points, ["p", "q"]), "object", "a chair"),
            ],
        ),
        Section(
            "three",
            "Pictures",
            (),
            [
                Picture(square(), "a grey square"),
                Gallery([Picture(square(9), "dark", smooth=True)]),
            ],
            level=3,
        ),
    ]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(path, "A <title>", "About it.", sections())
    return path


def test_it_needs_nothing_else_and_escapes_what_it_is_given(page_file):
    text = page_file.read_text(encoding="utf-8")
    assert "<title>A &lt;title&gt;</title>" in text
    assert "Numbers &amp; &lt;signs&gt;" in text
    assert '<th scope="row">&lt;theirs&gt;</th>' in text
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", markup)
    assert markup.count("data:image/png;base64,") == 1
    assert markup.count("data:image/jpeg;base64,") == 1
    assert 'width="60" height="40"' in markup
    assert '<a href="#one">' in markup
    assert '<a href="#three">' not in markup  # a part of "two"


def test_elements_of_one_name_are_refused(tmp_path):
    twice = [Section("a", "A"), Section("a", "B")]
    with pytest.raises(ValueError, match="several elements are called a"):
        write_page(tmp_path / "p.html", "t", "", twice)
    assert not (tmp_path / "p.html").exists()


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        yield found
        found.close()


def opened(browser, path, **options):
    """The page, and what it complained about or asked others for."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(120_000)  # the machine may have other work
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.on(
        "request",
        lambda asked: (
            asked.url.startswith(("file:", "data:", "blob:"))
            or complaints.append(f"asks for {asked.url}")
        ),
    )
    page.goto(path.as_uri())
    page.wait_for_selector("#object canvas")
    return page, complaints


EYE = "document.getElementById('object')._fullLayout.scene._scene.getCamera().eye"


@pytest.mark.slow
def test_the_object_turns_under_the_mouse_without_a_complaint(browser, page_file):
    page, complaints = opened(browser, page_file, viewport={"width": 1000, "height": 800})
    page.locator("#object").scroll_into_view_if_needed()
    before = page.evaluate(EYE)
    box = page.locator("#object").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    turned = False
    for _ in range(10):  # the canvas is there some frames before it listens to the mouse
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 120, y + 30, steps=6)
        page.mouse.up()
        page.wait_for_timeout(500)
        turned = abs(page.evaluate(EYE)["x"] - before["x"]) > 0.1
        if turned:
            break
    assert turned
    assert complaints == []


@pytest.mark.slow
def test_it_reads_well_on_a_phone_in_the_dark_and_aloud(browser, page_file):
    phone = {"viewport": {"width": 360, "height": 740}, "is_mobile": True}
    page, complaints = opened(browser, page_file, color_scheme="dark", **phone)
    # Nothing but wide tables, in boxes of their own, is wider than the screen.
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.wait_for_function("document.getElementById('curve')._fullLayout.font.color === '#e8eaed'")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(22, 24, 28)"
    page.emulate_media(color_scheme="light")
    page.wait_for_function("document.getElementById('curve')._fullLayout.font.color === '#1c1e21'")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    outline = page.eval_on_selector_all(
        "h1, h2, h3, h4", "all => all.map(h => [h.tagName, h.textContent])"
    )
    assert outline == [
        ["H1", "A <title>"],
        ["H2", "Numbers & <signs>"],
        ["H2", "Charts"],
        ["H3", "Pictures"],
    ]
    unnamed = "all => all.filter(e => !(e.alt || e.getAttribute('aria-label'))).length"
    assert page.eval_on_selector_all("img, [role=img], [role=region], nav", unnamed) == 0
    assert page.get_attribute("html", "lang") == "en"
    assert complaints == []
