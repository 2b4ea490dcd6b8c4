"""`make docs` builds the site of the documents in both languages, with every link checked and a search for Chinese."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Page, expect

from imsg_testing.browser import PATIENCE_MS, chromium
from imsg_testing.deployed import ROOT

SITE = ROOT / "dist" / "docs"

SEARCHES = {
    "zh/": {
        "退订": ("退订", "suppressions"),
        "死信": ("死信", "runbooks/ImsgDeadLetters"),
        "定时": ("定时", "runbooks/ImsgScheduleLate"),
        "短信签名": ("签名", "sms"),
        "换短信服务商": ("服务商", "tasks/change-sms-provider"),
        "昨晚为什么没收到": ("昨晚", "tasks/why-not-received"),
        "磁盘写满": ("写满", "operations"),
        "订": ("订阅", "wechat"),  # while one types
    },
    "": {
        "suppressions": ("suppressions", "suppressions"),
        "dead letters": ("letters", "runbooks/ImsgDeadLetters"),
        "scheduled": ("scheduled", "runbooks/ImsgScheduleLate"),
    },
}
"""What people type, without blanks in Chinese: a word that is found, and the page that they mean."""


@pytest.mark.release
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

    for path in pages - english:
        html = (SITE / path).read_text()
        assert ".md</a>" not in html, f"{path} names a file for a page"
        assert "英文版" not in html, f"{path} names another page beside the switch of languages"
        assert "iMSG接口说明文档" in html, f"{path}: the navigation lacks a title"
    settings = (SITE / "zh" / "settings.html").read_text()
    assert "<code>IMSG_SMTP__<wbr>HOST</code>" in settings, "a name breaks in the middle of a word"
    assert "。\n如需" not in (SITE / "zh" / "install.html").read_text(), "a blank after 。"

    with serve(SITE) as url, chromium() as browser:
        for folder, searches in SEARCHES.items():
            page = browser.new_page()
            page.goto(f"{url}/{folder}index.html")
            for typed, (word, found) in searches.items():
                search(page, typed)
                results = page.locator(".md-search-result__list")
                link = results.locator(f".md-search-result__link[href*='/{folder}{found}.html']").first
                expect(link).to_be_attached(timeout=PATIENCE_MS)
                expect(results.locator("mark", has_text=word).first).to_be_attached(timeout=PATIENCE_MS)


def search(page: Page, typed: str) -> None:
    """Type into the site's search, which follows keys; what was found before goes first."""
    field = page.locator("input.md-search__input")
    for text in ("", typed):
        field.fill(text)
        field.press("End")
        expect(page.locator(".md-search-result__item").first).to_be_attached(attached=text != "", timeout=PATIENCE_MS)


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
