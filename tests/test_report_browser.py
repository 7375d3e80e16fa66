"""The report in a real browser, by Chrome's DevTools protocol (playwright) with the Chromium of the PATH: it draws,
zooms, filters and is used by keyboard, without network and without a word on the console."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reports import evil_report
from runs import changed, floated, program, run

from neuro_deploy.comparison import compare
from neuro_deploy.report import write_report
from neuro_deploy.trace import Recording, Trace

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "no Chromium on the PATH: the report was not opened in a browser (apt-get install chromium)"
LONG = 1000
"""Neurons and steps."""
pytestmark = pytest.mark.skipif(BROWSER is None and not os.environ.get("CI"), reason=MISSING)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if BROWSER is None:
        pytest.fail(MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER)
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens a file without network; at the end, nothing may have been said on the console, or asked of the network."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith(("http", "ws")) else None)

    def go(path: Path) -> Any:
        page.goto(path.as_uri())
        page.wait_for_selector("details .legend")
        return page

    yield go
    assert said == []
    context.close()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fc1.v differs in sample 9, then spikes of out; nothing of the input."""
    sim = run(samples=12)
    other = changed(changed(sim, "fc1", "v", (5, 9, 3)), "out", "spikes", (8, 9, 1, 0), by=2)
    path = tmp_path_factory.mktemp("report") / "planted.html"
    lava = replace(other, backend="lava")
    write_report(path, title="t", result=compare(sim, lava), a=sim, b=lava, program=program())
    return path


def chart(page: Any, label: str) -> Any:
    return page.locator(f'canvas[aria-label^="{label}"]')


def view(canvas: Any) -> list[float]:
    return [float(text) for text in canvas.get_attribute("data-view").split()]


def colours(canvas: Any) -> set[str]:
    """The colours that are on a canvas."""
    return set(
        canvas.evaluate(
            """async (c) => {
              await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
              const copy = new OffscreenCanvas(c.width, c.height).getContext("2d", { willReadFrequently: true });
              copy.drawImage(c, 0, 0);
              const d = copy.getImageData(0, 0, c.width, c.height).data, found = new Set();
              for (let i = 0; i < d.length; i += 4) found.add((d[i] << 16) | (d[i + 1] << 8) | d[i + 2]);
              return [...found].map((colour) => colour.toString(16).padStart(6, "0"));
            }"""
        )
    )


def test_it_draws_what_differs(opened: Any, planted: Path) -> None:
    page = opened(planted)
    assert page.title() == "Different: t" and page.locator("#sample").input_value() != ""
    assert page.locator("#sample option:checked").text_content() == "9 (differs)"
    assert page.locator("details canvas[role=application]").count() == 5
    assert {"4a555e", "cc79a7"} <= colours(chart(page, "Spikes of out"))
    assert "cc79a7" not in colours(chart(page, "Spikes of fc1"))
    assert "other value (1)" in page.locator("details").nth(2).text_content()
    potential = chart(page, "Potential of fc1, neuron 3")
    assert {"0072b2", "d55e00", "e69f00"} <= colours(potential)
    page.select_option("#sample", label="0")
    page.locator("details", has_text="out").locator("li", has_text="other value").wait_for(state="detached")
    assert "d55e00" not in colours(potential)


def test_it_zooms_by_mouse_and_by_buttons(opened: Any, planted: Path) -> None:
    page = opened(planted)
    raster = chart(page, "Spikes of fc1")
    raster.scroll_into_view_if_needed()
    whole, box = view(raster), raster.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 42, steps=4)
    page.mouse.up()
    narrow = view(raster)
    assert whole[0] < narrow[0] < narrow[1] < whole[1] and narrow[2:] == whole[2:]
    raster.dblclick()
    assert view(raster) == whole
    page.get_by_role("button", name="Zoom in: Spikes of fc1").click()
    assert view(raster)[1] - view(raster)[0] < whole[1] - whole[0]
    page.get_by_role("button", name="Show all: Spikes of fc1").click()
    assert view(raster) == whole
    potential = chart(page, "Potential of out")
    assert "neuron 1, 0" in potential.get_attribute("aria-label")
    other = chart(page, "Spikes of out")
    other.scroll_into_view_if_needed()
    x0, x1, y0, y1 = view(other)
    at = other.evaluate("c => { const b = c.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; }")
    left, right = at[0] + 70, at[0] + at[2] - 34
    top, bottom = at[1] + 10, at[1] + at[3] - 40
    page.mouse.click(left + (2 - x0) / (x1 - x0) * (right - left), bottom - (1 - y0) / (y1 - y0) * (bottom - top))
    chart(page, "Potential of out, neuron 0, 1").wait_for()


def test_it_filters_populations(opened: Any, planted: Path) -> None:
    page = opened(planted)
    shown = page.locator("details:visible summary")
    assert shown.count() == 3 and page.locator("#shown").text_content() == "3 of 3 populations"
    page.fill("#filter", "FC")
    assert shown.count() == 1 and "fc1" in shown.first.text_content()
    assert page.locator("#compared tbody tr:visible").count() == 3
    assert page.locator("#histograms figure:visible").count() == 1
    page.press("#filter", "Escape")
    assert shown.count() == 3
    page.check("#only")
    assert [text.split()[0] for text in shown.all_text_contents()] == ["fc15", "out2"]
    assert page.locator("#shown").text_content() == "2 of 3 populations"


def test_it_is_used_by_keyboard(opened: Any, planted: Path) -> None:
    page = opened(planted)
    order = []
    for _ in range(40):
        page.keyboard.press("Tab")
        order.append(
            page.evaluate(
                "(e => e.id || e.getAttribute('aria-label') || e.tagName.toLowerCase())(document.activeElement)"
            )
        )
        if order[-1].startswith("Spikes of fc1"):
            break
    assert order[:4] == ["sample", "filter", "only", "summary"] and order[4].startswith("Values of input")
    raster, whole = chart(page, "Spikes of fc1"), view(chart(page, "Spikes of fc1"))
    page.keyboard.press("+")
    near = view(raster)
    assert near[1] - near[0] == pytest.approx((whole[1] - whole[0]) / 2)
    page.keyboard.press("ArrowRight")
    assert view(raster)[0] > near[0]
    page.keyboard.press("0")
    assert view(raster) == whole
    for key, label in (("Shift+Tab", "summary"), ("Enter", "summary")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.tagName.toLowerCase()") == label
    assert not raster.is_visible()
    page.keyboard.press("Enter")
    chart(page, "Spikes of out").focus()
    page.keyboard.press("n")
    assert (
        "difference 1 of 1: neuron 1, 0, step 6" in page.locator("details").nth(2).locator(".said").first.text_content()
    )
    field = page.get_by_label("Neuron of fc1 whose potential is drawn")
    field.fill("77")
    field.press("Enter")
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("4")
    field.press("Enter")
    chart(page, "Potential of fc1, neuron 4").wait_for()
    nameless = page.locator("button, input, select, canvas[tabindex]").evaluate_all(
        "all => all.filter(e => !e.getAttribute('aria-label') && !(e.labels && e.labels.length)).length"
    )
    assert nameless == 0


def test_a_thousand_neurons_and_steps(opened: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    spikes = ((rng.random((LONG + 1, 1, LONG)) < 0.1) * rng.integers(1, 4, (LONG + 1, 1, LONG))).astype(np.int8)
    v = (rng.integers(0, 256, spikes.shape) - 100).astype(np.int32)
    data = {"spikes": spikes, "v": v}
    sim = Trace({"wide": Recording((LONG,), 1, np.asarray(1.0), data)}, LONG, 0.001, "sim", "integer")
    other = replace(changed(sim, "wide", "spikes", (701, 0, 444), by=5), backend="lava")
    write_report(tmp_path / "r.html", title="wide", result=compare(sim, other), a=sim, b=other)
    assert (tmp_path / "r.html").stat().st_size < 10_000_000
    page = opened(tmp_path / "r.html")
    raster = chart(page, "Spikes of wide")
    page.get_by_role("button", name="Show all: Spikes of wide").click()
    assert view(raster) == [-1.5, 999.5, -0.7, 999.7] and "8d99a3" in colours(raster)
    assert {"0072b2", "cc79a7"} & colours(raster)
    page.get_by_role("button", name="Next difference: Spikes of wide").click()
    x0, x1, y0, y1 = view(raster)
    assert x0 < 700 < x1 and y0 < 444 < y1 and x1 - x0 <= 80
    chart(page, "Potential of wide, neuron 444").wait_for()


def test_floats_against_integers_and_text_that_would_act(opened: Any, tmp_path: Path) -> None:
    sim = run(samples=2)
    reference = floated(sim, scale=1.01)
    result = compare(reference, sim)
    write_report(tmp_path / "f.html", title="f", result=result, a=reference, b=sim, program=program())
    page = opened(tmp_path / "f.html")
    assert {"0072b2", "e69f00"} <= colours(chart(page, "Potential of fc1"))
    evil_report(sim, tmp_path / "r.html")
    page = opened(tmp_path / "r.html")
    assert page.locator("details canvas[role=application]").count() == 3 and page.locator("img").count() == 0
