"""The page refuses foreign pages, sockets, frames, scripts and cookies."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect

from imsg_testing.browser import DESK, Look, Visit
from imsg_testing.deployment import Deployment
from imsg_testing.http_stub import HttpStub, reply
from imsg_testing.page_actions import log_in, send_and_settle

Visits = Callable[..., Visit]

HOSTILE = "\"><img src=x onerror=window.ran=1><script>window.ran=1</script>{{7*7}}${7*7}'--"


@pytest.fixture
def foreign(deployment: Deployment) -> Iterator[str]:
    """Serve a page of another site that attacks the browser of a logged-in user."""
    socket = f"ws://127.0.0.1:{deployment.port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    page = f"""<!doctype html><title>foreign</title>
        <iframe src="{deployment.url}/users"></iframe>
        <form id="out" method="post" action="{deployment.url}/logout?everywhere=1" target="frame"></form>
        <iframe name="frame"></iframe>
        <script>
            document.getElementById('out').submit();
            window.answers = {{}};
            fetch('{deployment.url}/users', {{credentials: 'include'}}).then(
                () => answers.read = 'read', () => answers.read = 'refused');
            const socket = new WebSocket('{socket}');
            socket.onopen = () => answers.socket = 'open';
            socket.onerror = () => answers.socket = 'refused';
        </script>"""

    answer = reply(page, headers={"content-type": "text/html; charset=utf-8"})
    with HttpStub(lambda _: answer).running_apart() as server:
        yield f"{server.url}/"


def test_a_foreign_page_can_neither_read_nor_act_nor_frame(visit: Visits, foreign: str) -> None:
    seen = visit(Look("en", DESK))
    seen.complaints.expect(".")  # everything that the foreign page is refused is said in its console
    page = log_in(seen)
    page.goto(foreign)
    page.wait_for_function("answers.read && answers.socket")
    assert page.evaluate("answers") == {"read": "refused", "socket": "refused"}
    page.wait_for_load_state("networkidle")
    assert all("chrome-error" in frame.url or frame.url == "about:blank" for frame in page.frames[1:]), page.frames
    page.goto("/limits")
    expect(page.get_by_role("heading", level=1)).to_have_text("My limits")  # the session is still open


def test_the_cookie_is_for_this_site_and_no_script(visit: Visits) -> None:
    seen = visit(Look("en", DESK))
    log_in(seen)
    seen.page.goto("/limits")
    (cookie,) = [cookie for cookie in seen.context.cookies() if "session" in cookie["name"]]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] in ("Lax", "Strict")
    assert cookie["value"] not in seen.page.content()
    assert seen.page.evaluate("document.cookie") == ""
    assert "token" not in seen.page.content().lower()


def test_a_post_without_our_origin_is_refused(deployment: Deployment) -> None:
    form = {"username": "admin", "password": "123"}
    for headers in ({}, {"origin": "http://evil.example"}, {"origin": "null"}):
        answer = httpx.post(f"{deployment.url}/login", data=form, headers=headers, timeout=60)
        assert "set-cookie" not in answer.headers
        assert answer.status_code in (303, 403)


@pytest.mark.parametrize("path", ["/login", "/", "/limits", "/nowhere", "/_console/static/page.css"])
def test_every_answer_has_the_headers_that_browsers_need(deployment: Deployment, path: str) -> None:
    headers = httpx.get(deployment.url + path, headers={"accept": "text/html"}, timeout=60).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert "'unsafe-inline'" not in policy.get("script-src", "")
    assert "http:" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_log_in_redirects_to_no_other_site(visit: Visits, deployment: Deployment) -> None:
    seen = visit(Look("en", DESK))
    page = seen.page
    page.goto("/login?next=" + quote("//127.0.0.1:1/evil", safe=""))
    page.locator("#username").fill("admin")
    page.locator("#password").fill("123")
    page.get_by_role("button").click()
    expect(page.locator(".side-nav")).to_be_attached()
    assert page.url.startswith(deployment.url + "/")


def test_a_wrong_password_does_not_reveal_who_exists(visit: Visits, deployment: Deployment) -> None:
    seen = visit(Look("en", DESK))
    seen.complaints.expect("/login|status of 401")
    page, said = seen.page, []
    for name in (deployment.new_user(), f"nobody{secrets.token_hex(3)}"):
        page.goto("/login")
        page.locator("#username").fill(name)
        page.locator("#password").fill("wrong password")
        page.get_by_role("button").click()
        expect(page.locator("#said")).to_have_text(re.compile("."))
        said.append(page.locator("#said").inner_text())
        seen.axe()
    assert said[0] == said[1]


def test_hostile_names_subjects_and_addresses_are_text_everywhere(visit: Visits, deployment: Deployment) -> None:
    name = f"{HOSTILE.replace('/', '∕').replace(':', '')[:50]}{secrets.token_hex(4)}"
    deployment.new_user(username=name, email=f"{secrets.token_hex(4)}@example.com")
    token = deployment.token(name, "correct horse")
    to = f"'*={secrets.token_hex(4)}@example.com"
    request = send_and_settle(deployment, to, token=token, subject=HOSTILE, text=HOSTILE, html=HOSTILE)
    seen = visit(Look("en", DESK))
    seen.complaints.expect(r"/_console/bodies/|Blocked script execution")
    page = log_in(seen, name, "correct horse")
    for path in ("/mine", f"/sent/{request}", f"/send?like={request}", "/limits", f"/send?to={quote(HOSTILE)}"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.ran") is None, path
        assert page.locator("img[src=x]").count() == 0, path
        assert "49" not in page.locator("h1").inner_text()
    admin = visit(Look("zh", DESK))
    admin.complaints.expect(r"/_console/bodies/|Blocked script execution")
    page = log_in(admin)
    searched = quote(name, safe="")
    for path in (
        "/",
        f"/users?search={searched}",
        f"/messages?username={searched}",
        f"/messages/{request}-0",
        "/inbox",
    ):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.ran") is None, path
        assert page.locator("img[src=x]").count() == 0, path


def test_a_session_that_is_over_leads_to_the_log_in_and_back(visit: Visits, deployment: Deployment) -> None:
    user = deployment.new_user()
    seen = visit(Look("en", DESK))
    page = log_in(seen, user, "correct horse")
    page.goto("/limits")
    token = deployment.call("POST", "/api/login", {"username": user, "password": "correct horse"})["token"]
    assert deployment.call("POST", "/api/v2/logout", {"token": token, "everywhere": True})["errorCode"] == 0
    with suppress(PlaywrightError):  # the page that is open may have been told meanwhile, and be leaving
        page.goto("/send")
    expect(page).to_have_url(re.compile("/login"))
    page.locator("#username").fill(user)
    page.locator("#password").fill("correct horse")
    page.get_by_role("button").click()
    expect(page.locator(".side-nav")).to_be_attached()
