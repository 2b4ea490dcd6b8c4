"""The pictures of the web page in the READMEs: `make pictures` makes them, from an `imsg up` of its own."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import expect

from imsg_testing.browser import ROOT, Language, Look, Visit, chromium, still
from imsg_testing.deployment import Deployment, running
from imsg_testing.page_actions import log_in, send_and_settle

PICTURES = ROOT / "docs/pictures"

LANGUAGES: tuple[Language, ...] = ("en", "zh")

WIDTH = 1200


def main() -> int:
    """Write a picture of the overview in each language."""
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, running(Path(folder)) as deployment:
        _send(deployment)
        with chromium() as browser:
            for language in LANGUAGES:
                _make_picture(Visit(browser, deployment.url, Look(language, WIDTH)), PICTURES / f"page.{language}.png")
    return 0


def _send(deployment: Deployment) -> None:
    """Send messages for the overview to show: a list, single mails, one that is refused, SMS."""
    deployment.open_wide()
    send_and_settle(deployment, [f"reader-{n}@example.com" for n in range(240)], subject="Release notes")
    send_and_settle(deployment, ["you@example.com", "bounce@example.com"], subject="Invoice 2026-11")
    phones = [f"1380013{n:04}" for n in range(60)]
    send_and_settle(deployment, phones, method="sms", content="明天 9:00 停机维护")


def _make_picture(visit: Visit, path: Path) -> None:
    log_in(visit)
    visit.page.goto("/")
    expect(visit.page.get_by_role("heading", level=1)).to_be_visible()
    visit.page.wait_for_load_state("networkidle")
    still(visit.page)
    visit.page.screenshot(path=path, caret="initial")
    visit.close()


if __name__ == "__main__":
    sys.exit(main())
