"""Every link of every page works, and a number beside a link is the number of rows behind it."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from urllib.parse import urldefrag, urlsplit

import pytest
from playwright.sync_api import Page, expect

from imsg_testing.api import SETTLED
from imsg_testing.browser import Visit
from imsg_testing.deployment import Deployment, running
from imsg_testing.page_actions import dead_letter, log_in, open_page
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

LOOKED_INTO = 2
"""Pages of one kind (such as one message) whose own links are read; all are opened."""

LINKS = """() => [...document.querySelectorAll('main a[href], .content a[href], nav a[href], header a[href]')]
  .filter((one) => one.offsetParent !== null)
  .map((one) => ({
    href: one.getAttribute('href'),
    rows: one.dataset.rows ?? '',
    beside: one.closest('li, .fact, .need')?.innerText ?? one.innerText,
  }))"""


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, str]]:
    """Run an iMSG in which everything has happened that pages show; with a user who has sent."""
    with running(tmp_path_factory.mktemp("links")) as deployment:
        deployment.open_wide()
        user = deployment.new_user(per_hour=1000, per_day=1000)
        token = deployment.token(user, "correct horse")
        dead_letter(deployment, 2, "dead@example.com", "死信")
        for owner in (token, deployment.token()):
            for to in ("bounce@example.com", "nobody@nowhere.invalid", "li@example.com", "wang@example.com"):
                _send(deployment, owner, "smtp", [to])
            _send(deployment, owner, "smtp", [f"reader{n}@example.com" for n in range(7)] + ["bounce@example.com"])
            _send(deployment, owner, "sms", ["13800138000", "13900139000"])
        wait(lambda: _all_are(deployment, 28, SETTLED))
        for n in range(6):
            name = deployment.new_user(per_hour=1, per_day=20)
            _send(deployment, deployment.token(name, "correct horse"), "smtp", [f"limit{n}@example.com"])
        _send(deployment, token, "smtp", ["greylist@example.com"])
        wait(lambda: _all_are(deployment, 35, {*SETTLED, "retrying"}))
        for method in ("sms", "smtp"):  # so that nothing moves while it is counted
            deployment.call(
                "PATCH", f"/api/v2/channels/{method}", {"paused": True, "reason": "对账"}, token=deployment.token()
            )
        for owner in (token, deployment.token()):
            _send(deployment, owner, "sms", ["13700137000", "13600136000", "13500135000"])
        wait(
            lambda: (
                len(deployment.look_up("/api/v2/messages", token=deployment.token(), status="queued")["messages"]) == 6
            )
        )
        yield deployment, user


def _all_are(deployment: Deployment, count: int, statuses: Collection[str]) -> bool:
    """Return whether `count` messages are known, each in one of the statuses."""
    found = deployment.look_up("/api/v2/messages", token=deployment.token(), limit="500")["messages"]
    return len(found) >= count and all(message["status"] in statuses for message in found)


def _send(deployment: Deployment, token: str, method: str, to: list[str]) -> None:
    content = {"subject": "每个链接", "text": "您好"} if method == "smtp" else "您好"
    answer = deployment.call("POST", "/api/v2/messages", {"to": to, "method": method, "content": content}, token=token)
    assert answer["errorCode"] == 0, answer


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "role",
    [pytest.param("admin", marks=pytest.mark.release), "user"],  # an administrator's walk takes four minutes
)
def test_every_link_opens_what_its_text_names(seeded: tuple[Deployment, str], visit: Visits, role: str) -> None:
    deployment, user = seeded
    hour = datetime.now(UTC).hour
    seen = visit(url=deployment.url)
    log_in(seen) if role == "admin" else log_in(seen, user, "correct horse")
    page = seen.page
    waiting = ["/", "/?range=hour", "/?range=week"] if role == "admin" else ["/send", "/mine"]
    opened: set[str] = set()
    counted: dict[tuple[str, str], str] = {}
    looked: Counter[str] = Counter()
    while waiting:
        address = waiting.pop(0)
        if address in opened:
            continue
        opened.add(address)
        _answers(page, deployment.url + address)
        kind = re.sub(r"[0-9a-f]{8,}(-\d+)?|id=[^&]*", "*", address)
        looked[kind] += 1
        if looked[kind] > LOOKED_INTO or not _is_ours(address):
            continue
        _open(page, deployment.url + address)
        for link in page.evaluate(LINKS):
            href = str(link["href"])
            if not href.startswith("/") or href.startswith(("/prefer", "/static", "/_")):
                continue
            if link["rows"]:
                number = link["rows"].removesuffix("+")
                assert re.search(rf"(?<!\d){int(number):,}(?!\d)", link["beside"]), (address, link)
                counted.setdefault((href, link["rows"]), f"{address} → {link}")
            waiting.append(urldefrag(href).url or "/")
    assert len(counted) >= (12 if role == "admin" else 2), "numbers have links"
    for (href, rows), what in counted.items():
        if "near=1" in href and datetime.now(UTC).hour != hour:
            continue  # quotas of the hour are new since they were counted
        _holds(page, deployment.url + href, rows, what)
    assert len(opened) > 10


def _is_ours(address: str) -> bool:
    return not address.startswith(("/docs", "/openapi", "/sandbox"))


def _answers(page: Page, url: str) -> None:
    answer = page.request.get(url)
    assert answer.ok, f"{url}: {answer.status}"
    assert urlsplit(answer.url).path != "/login", url


def _open(page: Page, url: str) -> None:
    open_page(page, url)
    for wrong in (".filters-error", ".notice-bad"):
        expect(page.locator(wrong).filter(visible=True)).to_have_count(0)


def _holds(page: Page, url: str, rows: str, what: str) -> None:
    """Check that a link opens as many rows as the number beside it says."""
    _open(page, url)
    found = page.locator(".table-row")
    if "/channels" in url:
        found = page.get_by_role("region", name="死信").locator(found)
    if rows.endswith("+"):
        expect(found.nth(int(rows[:-1]) - 1), what).to_be_visible()
    else:
        expect(found, what).to_have_count(int(rows))


def test_a_time_with_its_zone_is_taken_as_the_api_writes_it(seeded: tuple[Deployment, str], visit: Visits) -> None:
    deployment, _ = seeded
    seen = visit(url=deployment.url)
    log_in(seen)
    _open(seen.page, f"{deployment.url}/messages?since={datetime.now(UTC):%Y-%m-%d}T00:00:00Z&status=failed,expired")
    expect(seen.page.locator(".table-row").first).to_be_visible()
