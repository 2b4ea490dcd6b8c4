"""`make docs` builds the site of the documents in both languages, with every link checked and a search for Chinese."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import chromium
from imsg_testing.generate import ROOT

SITE = ROOT / "dist" / "docs"

SEARCHES = {
    "退订": "suppressions.html",
    "磁盘写满": "operations.html",
    "换短信服务商": "tasks/change-sms-provider.html",
    "清除个人信息": "operations.html",
}
"""Words as people type them, without blanks, and a page that has them."""

FOUND_MS = 60_000


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_site_has_each_page_in_both_languages_and_finds_chinese_words() -> None:
    done = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    pages = {path.relative_to(SITE) for path in SITE.rglob("*.html") if path.name != "404.html"}
    english = {page for page in pages if page.parts[0] != "zh"}
    assert len(english) > 80
    assert {page.relative_to("zh") for page in pages - english} == english

    twins = {path.name.removesuffix(".zh.md") for path in (ROOT / "docs").glob("*.zh.md")}
    for name in twins:
        assert '<html lang="zh"' in (SITE / "zh" / f"{name}.html").read_text(), name

    with serve(SITE) as url, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{url}/zh/index.html")
        for words, found in SEARCHES.items():
            page.locator("input.md-search__input").fill(words)
            link = page.locator(f".md-search-result__link[href*='zh/{found}']").first
            expect(link).to_be_attached(timeout=FOUND_MS)


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve the files of a folder for as long as the context lasts; return the URL."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
