"""examples/sse.py, looked at in a headless Chromium, and by its events."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Database
from running import start, stop, wait_until
from services import Process

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
INSERT = "INSERT INTO ecommerce.products (id, name, price) VALUES ({}, '{}', 9.90)"


@pytest.fixture
def example(shop: Database, tmp_path: Path) -> Iterator[Process]:
    """The example, serving."""
    with start(shop, "sse.py", "--port", "0", cwd=tmp_path) as running:
        running.wait_for("http://")
        yield running


def address(example: Process) -> str:
    """Where it says it is."""
    return example.lines[0].split()[0]


def events(example: Process, last: str | None = None) -> Generator[tuple[str, Any]]:
    """Ids and data of the events from now on, or behind one."""
    headers = {} if last is None else {"Last-Event-ID": last}
    request = urllib.request.Request(address(example) + "events", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as lines:
        assert next(lines) == b": hello\n"
        yield "hello", None
        name = ""
        for line in lines:
            if line.startswith(b"id: "):
                name = line[4:].decode().strip()
            elif line.startswith(b"data: "):
                yield name, json.loads(line[6:])


def test_other_names_are_refused(example: Process) -> None:
    request = urllib.request.Request(address(example), headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == 400
    refused.value.close()


def test_events_go_on_behind_the_last(shop: Database, example: Process) -> None:
    stream = events(example)
    next(stream)
    for number in (71, 72, 73):
        shop.execute(INSERT.format(number, "Lamp"))
    seen = [next(stream) for _ in range(3)]
    stream.close()
    assert [data["columns"]["id"] for _, data in seen] == [[None, 71], [None, 72], [None, 73]]
    again = events(example, seen[0][0])
    next(again)
    assert [next(again), next(again)] == seen[1:]
    again.close()
    # One that is forgotten, or never was: all that are remembered.
    more = events(example, "0/1:1")
    next(more)
    assert next(more) == seen[0]
    # It ends although somebody still listens.
    stop(example)
    more.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page(shop: Database, example: Process, tmp_path: Path, scheme: Any) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is missing: sudo apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS.split())
        page = browser.new_page(
            color_scheme=scheme, viewport={"width": 360, "height": 740}, device_scale_factor=2
        )
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address(example))
        page.get_by_text("live, 0 changes").wait_for()
        shop.execute(
            INSERT.format(81, "<b>Lamp</b> " + "x" * 60),
            "UPDATE ecommerce.products SET price = 19.90 WHERE id = 81",
            "UPDATE ecommerce.orders SET status = 'shipped' WHERE id = 1",
            "DELETE FROM ecommerce.products WHERE id = 81",
        )
        page.get_by_text("live, 4 changes").wait_for()
        newest, _, price, oldest = page.locator("li").all()
        assert "DELETE ecommerce.products" in newest.inner_text()
        assert "9.90" in price.inner_text()
        assert "19.90" in price.inner_text()
        assert price.locator("dt").all_inner_texts() == ["id", "price"]
        # Data is text and never markup, and long words do not widen the page.
        assert "<b>Lamp</b>" in oldest.inner_text()
        assert page.locator("b").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        text = page.evaluate("getComputedStyle(document.body).color")
        assert text == ("rgb(0, 0, 0)" if scheme == "light" else "rgb(255, 255, 255)")
        page.screenshot(path=str(tmp_path / f"{scheme}.png"), full_page=True)
        example.kill()
        page.get_by_text("connection lost").wait_for()
        assert problems == []
        browser.close()
    wait_until(
        lambda: (
            shop.execute("SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'sse_%'")[
                0
            ][0]
            == 0
        ),
        "the slot is gone",
    )
