"""Chromium for the page's tests, which fail on errors in its console."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

Language = Literal["zh", "en"]

LOCALES: Mapping[Language, str] = {"zh": "zh-CN", "en": "en-US"}

PHONE, SIDEWAYS, DESK = 390, 844, 1440
"""The widths at which every page is looked at, in px: a phone, the same phone held sideways, and a screen."""

HEIGHTS = {PHONE: SIDEWAYS, SIDEWAYS: PHONE, DESK: 900}

PATIENCE_MS = 60_000
"""How long anything on a page may take: the machine of a test is busy with other tests."""

ROOT = Path(__file__).parents[3]

SCREENSHOTS = ROOT / ".screenshots"

SHOOTING = "TEST_SCREENSHOTS"
"""Set, every page that a test names is painted for people to look at; else those of failed tests alone."""

AXE = ROOT / "tests/browser/node_modules/axe-core/axe.min.js"

AXE_OPTIONS = "{iframes: false, preload: false, resultTypes: ['violations'], rules: {'target-size': {enabled: true}}}"
"""A frame shows a mail, and no script runs in it. What axe-core loads beforehand is for a rule that is
off unless asked for, and is style that the page's Content-Security-Policy refuses."""

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

CHROME_ON_MACOS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"

QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Keep Chromium from calling Google."""


class MissingBrowserError(Exception):
    """A program that the browser tests need is missing. The message names what to install."""


def chromium_program() -> str:
    """Return where Chromium is. Raises MissingBrowserError."""
    for name in (*PROGRAMS, CHROME_ON_MACOS):
        if found := shutil.which(name):
            return found
    raise MissingBrowserError("no Chromium on PATH; install it (Debian: sudo apt-get install chromium) and repeat")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a Chromium for as long as the context lasts. Raises MissingBrowserError.

    Playwright leaves its loop set in the thread while it runs, so no coroutine can be run meanwhile.
    """
    program = chromium_program()
    expect.set_options(timeout=PATIENCE_MS)
    # Chromium's own sandbox wants a user other than root, or a kernel that containers seldom offer.
    arguments = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else list(QUIET)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments, timeout=PATIENCE_MS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is looked at."""

    language: Language = "zh"
    width: int = DESK
    dark: bool = False

    @property
    def name(self) -> str:
        """Its name in that of a screenshot: `zh-390-dark`."""
        return f"{self.language}-{self.width}-{'dark' if self.dark else 'light'}"


class Complaints:
    """What went wrong on the pages of a visit: console errors, uncaught errors, failed requests, foreign hosts."""

    def __init__(self, origin: str) -> None:
        self._host = urlsplit(origin).netloc
        self.found: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    def expect(self, pattern: str) -> None:
        """Allow complaints that match a pattern, for a test that provokes an error."""
        self._expected.append(re.compile(pattern))

    def watch(self, page: Page) -> None:
        """Listen to a page from now on."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._add(f"uncaught: {error.message}"))
        page.on("request", self._request)
        page.on("requestfailed", self._record_failure)
        page.on("response", self._response)

    @property
    def unexpected(self) -> list[str]:
        """What no test has expected."""
        return [
            complaint for complaint in self.found if not any(pattern.search(complaint) for pattern in self._expected)
        ]

    def _add(self, complaint: str) -> None:
        self.found.append(complaint)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":  # what a Content-Security-Policy refuses is said here too
            self._add(f"console: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        if request.url.startswith("http") and urlsplit(request.url).netloc != self._host:
            self._add(f"asked another host: {request.url}")

    def _record_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that was left, or a download
            self._add(f"failed: {request.method} {request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self._add(f"answered {response.status}: {response.request.method} {response.url}")


class Visit:
    """A browser context with its own cookies, on the console of one server."""

    def __init__(self, browser: Browser, origin: str, look: Look, zone: str = "Asia/Shanghai") -> None:
        self.look = look
        self.origin = origin
        self.complaints = Complaints(origin)
        self.context: BrowserContext = browser.new_context(
            base_url=origin,
            locale=LOCALES[look.language],
            viewport={"width": look.width, "height": HEIGHTS.get(look.width, 900)},
            color_scheme="dark" if look.dark else "light",
            reduced_motion="reduce",
            accept_downloads=True,
            timezone_id=zone,
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
        self.context.on("page", self.complaints.watch)
        self.page = self.context.new_page()

    def axe(self, page: Page | None = None) -> None:
        """Check a page with every rule of axe-core. Raises AssertionError."""
        axe(page or self.page)

    def shoot(self, name: str, page: Page | None = None, *, is_wanted: bool = SHOOTING in os.environ) -> None:
        """Save a screenshot of the whole page if it is wanted, in a folder that git ignores."""
        page = page or self.page
        page.evaluate("window.scrollTo(0, 0)")  # what is fixed would be painted in the middle
        still(page)
        if not is_wanted:
            return
        path = SCREENSHOTS / f"{name}-{self.look.name}.png"
        # What hides a caret is a style, which the page refuses.
        page.screenshot(path=path, full_page=True, caret="initial")

    def close(self) -> list[str]:
        """Close the browser; return what the pages complained of."""
        self.context.close()
        return self.complaints.unexpected


def still(page: Page) -> None:
    """Wait until nothing on a page moves any more: no dialog or menu of Quasar's that comes or goes either."""
    # An endless animation (a progress circle) never ends, and is nothing to wait for.
    page.wait_for_function(
        """() => document.fonts.status === 'loaded' && document.getAnimations().every(
            a => a.playState !== 'running' || a.effect.getComputedTiming().endTime === Infinity)
            && !document.querySelector('[class*="-enter-active"], [class*="-leave-active"]')"""
    )


def scrolls_sideways(page: Page) -> bool:
    """Return whether a page is wider than the window."""
    wider: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return wider


def axe(page: Page) -> None:
    """Check a page with every rule of axe-core. Raises AssertionError with each rule, place and remedy."""
    still(page)
    page.evaluate(_axe_source())  # not a script of the page's, which its Content-Security-Policy would refuse
    found = page.evaluate(f"async () => (await axe.run(document, {AXE_OPTIONS})).violations")
    assert not found, "\n".join([f"axe-core on {page.url}:", *map(_describe, found)])


@cache
def _axe_source() -> str:
    if not AXE.exists():
        raise MissingBrowserError("axe-core is not here; run: npm --prefix tests/browser ci")
    return AXE.read_text(encoding="utf-8")


def _describe(violation: Mapping[str, Any]) -> str:
    places = "\n".join(
        f"    {' '.join(map(str, node['target']))}\n      {node['html'][:300]}\n      {node['failureSummary']}"
        for node in violation["nodes"][:5]
    )
    return f"  {violation['id']} ({violation['impact']}): {violation['help']}\n{places}"
