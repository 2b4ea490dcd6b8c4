"""The web page as strangers, other sites and programs see it."""

import html
import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from imsg_testing.api import DOCUMENTED, PASSWORD
from imsg_testing.deployment import Deployment
from imsg_testing.service import Service

pytestmark = pytest.mark.xdist_group("stories of users")

PAGES = (
    "/",
    "/users",
    "/messages",
    "/channels",
    "/suppressions",
    "/inbox",
    "/send",
    "/mine",
    "/limits",
    "/password",
    "/totp",
)
HOSTILE = "\"><img src=x onerror=alert(1)>'`${x}"
"""A username that the API allows, and that would be a script in a careless page."""

HTML = {"accept": "text/html"}


class Visitor:
    """A browser, as far as HTTP goes."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=60, headers={**HTML, **headers})

    def enter(
        self, username: str = "admin", password: str = DOCUMENTED["admin"], *, going: str = "", **headers: str
    ) -> httpx.Response:
        """Send the log-in form."""
        form = {"username": username, "password": password}
        params = {"next": going} if going else {}
        return self.client.post("/login", data=form, params=params, headers={"origin": self.url, **headers})

    def page(self, path: str, **headers: str) -> httpx.Response:
        """Return the response of a page."""
        return self.client.get(path, headers=headers)

    def client_id(self, path: str) -> str:
        """Open a page and return the id by which its socket would name it."""
        match = re.search(r"'client_id': '([0-9a-f-]{36})'", self.page(path).text)
        assert match is not None
        return match[1]

    def socket(self, client: str, origin: str, *, with_cookie: bool = True) -> int:
        """Request a WebSocket; return the status: 101 where it is opened."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Origin": origin,
        }
        if with_cookie:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.client.cookies.items())
        query = f"client_id={client}&tab_id=1&document_id=1&EIO=4&transport=websocket"
        try:
            connection.request("GET", f"/_nicegui_ws/socket.io/?{query}", headers=headers)
            with connection.getresponse() as answer:
                return answer.status
        finally:
            connection.close()


@pytest.fixture
def stranger(deployment: Deployment) -> Iterator[Visitor]:
    """Yield a visitor who is not logged in."""
    visitor = Visitor(deployment.url)
    yield visitor
    visitor.client.close()


@pytest.fixture
def admin(deployment: Deployment) -> Iterator[Visitor]:
    """Log the administrator in."""
    visitor = Visitor(deployment.url)
    assert visitor.enter().status_code == 303
    yield visitor
    visitor.client.close()


def test_a_stranger_is_led_to_the_log_in_and_back(stranger: Visitor) -> None:
    away = stranger.page("/users?search=王")
    entered = stranger.client.post(
        away.headers["location"], data={"username": "admin", "password": "123"}, headers={"origin": stranger.url}
    )

    assert away.status_code == 303
    assert (entered.status_code, entered.headers["location"]) == (303, "/users?search=%E7%8E%8B")


def test_the_session_is_in_a_cookie_that_scripts_and_other_sites_never_see(stranger: Visitor) -> None:
    cookie = stranger.enter().headers["set-cookie"].lower()

    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "domain" not in cookie


def test_each_log_in_is_a_new_session(stranger: Visitor) -> None:
    """A cookie that an attacker planted before is worth nothing afterwards."""
    stranger.enter()
    first = stranger.client.cookies["imsg_session"]
    stranger.enter()
    second = stranger.client.cookies["imsg_session"]
    stranger.client.cookies.clear()
    stranger.client.cookies.set("imsg_session", first)

    assert first != second
    assert stranger.page("/").headers["location"] == "/login?why=ended"


@pytest.mark.parametrize("language", ["zh-CN,zh;q=0.9", "en-US,en;q=0.9"])
def test_the_log_in_page_speaks_the_browsers_language_and_has_no_script(stranger: Visitor, language: str) -> None:
    answer = stranger.page("/login", **{"accept-language": language})

    assert ("Username" in answer.text, "用户名" in answer.text) == (language[:2] == "en", language[:2] == "zh")
    assert "<script" not in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", [*PAGES, "/login", "/nowhere"])
def test_every_page_carries_its_defences(admin: Visitor, path: str) -> None:
    headers = admin.page(path).headers
    policy = headers["content-security-policy"]

    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "'unsafe-inline'" not in re.sub(r"style-src-attr [^;]+", "", policy)
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", PAGES)
def test_every_script_and_style_of_a_page_bears_its_own_nonce(admin: Visitor, path: str) -> None:
    first, second = admin.page(path), admin.page(path)
    nonces = [re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"]) for answer in (first, second)]
    tags = re.findall(r"<(?:script|style)\b[^>]*>(?!</style>)", first.text)  # an empty style is allowed by its hash

    assert first.status_code == 200
    assert set(nonces[0]).isdisjoint(nonces[1])
    assert tags
    assert [tag for tag in tags if f'nonce="{nonces[0][0]}"' not in tag] == []


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:1"])
def test_what_another_site_sends_changes_nothing(admin: Visitor, origin: str) -> None:
    """It can neither log a person in as another, nor out."""
    entered = admin.enter(origin=origin)
    left = admin.client.post("/logout", headers={"origin": origin})

    assert "set-cookie" not in entered.headers
    assert left.status_code == 403
    assert admin.page("/").status_code == 200


def test_a_log_in_leads_to_no_other_site(stranger: Visitor) -> None:
    assert stranger.enter(going="https://evil.example/").headers["location"] == "/"
    assert stranger.enter(going="//evil.example").headers["location"] == "/"


def test_a_wrong_password_is_explained_in_a_sentence_and_the_name_stays(stranger: Visitor) -> None:
    wrong = stranger.enter(HOSTILE, "wrong password", **{"accept-language": "en"})
    unknown = stranger.enter("nobody-of-this-name", "wrong password", **{"accept-language": "en"})

    assert wrong.status_code == 401
    assert "The username or the password is wrong." in wrong.text
    assert "The username or the password is wrong." in unknown.text
    assert "<img" not in re.sub(r'<img class="login-mark"[^>]*>', "", wrong.text)
    assert html.escape(HOSTILE) in wrong.text


def test_a_hostile_username_is_text_wherever_it_stands(admin: Visitor, deployment: Deployment) -> None:
    body = {"token": deployment.token(), "username": HOSTILE, "password": PASSWORD, "role": "admin"}
    assert deployment.call("POST", "/api/register", body)["errorCode"] in (0, 10004)
    hostile = Visitor(deployment.url)
    assert hostile.enter(HOSTILE, PASSWORD).status_code == 303

    for visitor, path in ((admin, "/users"), (hostile, "/"), (hostile, "/mine"), (hostile, "/send")):
        text = visitor.page(path).text
        assert "onerror" in text
        assert "<img src=x" not in text
        assert "${x}" not in text
    hostile.client.close()


def test_a_socket_opens_for_its_own_page_and_session_alone(admin: Visitor, deployment: Deployment) -> None:
    client = admin.client_id("/users")
    other = Visitor(deployment.url)
    other.enter(deployment.new_user(), PASSWORD)

    assert admin.socket(client, admin.url) == 101
    assert admin.socket(client, "http://evil.example") == 403
    assert admin.socket(client, "") == 403
    assert admin.socket("", admin.url) == 403
    assert admin.socket(client, admin.url, with_cookie=False) == 403
    assert other.socket(client, admin.url) == 403
    own = other.client_id("/limits")
    assert other.socket(own, admin.url) == 101
    for both in (f"{client}&client_id={own}", f"{own}&client_id={client}", f"{client}&client%5Fid={own}"):
        assert other.socket(both, admin.url) == 403  # NiceGUI read the first, the guard the last
    other.client.close()


def test_a_user_sees_no_page_of_administrators(deployment: Deployment) -> None:
    user = Visitor(deployment.url)
    user.enter(deployment.new_user(), PASSWORD)

    assert user.page("/").headers["location"] == "/mine"
    assert {path: user.page(path).status_code for path in PAGES[1:]} == {
        **dict.fromkeys(("/users", "/messages", "/channels", "/inbox", "/suppressions"), 403),
        **dict.fromkeys(("/send", "/mine", "/limits", "/password", "/totp"), 200),
    }
    user.client.close()


def test_a_log_out_ends_the_session_and_everywhere_ends_all(admin: Visitor, deployment: Deployment) -> None:
    name = deployment.new_user()
    here, there, third = (Visitor(deployment.url) for _ in range(3))
    for replica in (here, there, third):
        replica.enter(name, PASSWORD)
    kept = dict(here.client.cookies)
    left = here.client.post("/logout", headers={"origin": here.url})
    here.client.cookies.update(kept)

    assert left.headers["location"] == "/login?why=left"
    assert here.page("/mine").status_code == 303
    assert there.page("/mine").status_code == 200

    there.client.post("/logout", params={"everywhere": "1"}, headers={"origin": there.url})

    assert third.page("/mine").status_code == 303
    assert admin.page("/").status_code == 200
    for replica in (here, there, third):
        replica.client.close()


def test_a_change_by_an_administrator_ends_the_log_in_of_the_user(deployment: Deployment) -> None:
    """The page learns it from the API, as every program does."""
    name = deployment.new_user()
    user = Visitor(deployment.url)
    user.enter(name, PASSWORD)
    deployment.call("PATCH", f"/api/v2/users/{name}", {"token": deployment.token(), "password": "another password"})

    assert user.page("/limits").headers["location"] == "/login?next=%2Flimits&why=ended"
    user.client.close()


def test_an_address_that_leads_nowhere_is_a_page_for_people_and_json_for_programs(
    admin: Visitor, deployment: Deployment
) -> None:
    page, program = admin.page("/nowhere"), deployment.client.get("/nowhere")

    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert (program.status_code, program.json()["reason"]) == (404, "no_such_url")


@pytest.mark.parametrize(
    "path", ["/metrics", "/internal/user-cache", "/health", "/hooks/else", "/sandboxes/../metrics"]
)
def test_the_page_opens_nothing_that_was_closed(admin: Visitor, path: str) -> None:
    answer = admin.client.get(path, headers={"accept": "application/json"})

    assert (answer.status_code, answer.json()["errorCode"]) == (404, 10001)


def test_under_a_name_that_is_not_of_this_machine_nothing_is_served(deployment: Deployment) -> None:
    """A site whose name is made to resolve to 127.0.0.1 would else be of our origin (DNS rebinding)."""
    answer = deployment.client.get("/login", headers={"host": "evil.example", **HTML})

    assert answer.status_code == 421
    assert "IMSG_PUBLIC_URL" in answer.text


def test_a_form_that_is_too_large_is_not_read(stranger: Visitor) -> None:
    assert stranger.enter("admin", "x" * 100_000).status_code == 413


def test_the_language_and_the_theme_are_kept(admin: Visitor) -> None:
    for query in ("language=en", "theme=dark", "theme=<script>"):
        assert admin.page(f"/prefer?{query}&next=/users").headers["location"] == "/users"
    page = admin.page("/users", **{"accept-language": "zh"}).text

    assert '<html lang="en-US"' in page
    assert 'content="dark"' in page


@pytest.fixture(scope="module")
def behind_tls(shared_stack: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run the console as a process of its own, which believes a proxy about TLS."""
    settings = {"IMSG_GATEWAY_URL": shared_stack.url, "IMSG_TRUSTED_PROXIES": "127.0.0.1"}
    folder: Path = tmp_path_factory.mktemp("console")
    service = Service("imsg_console", folder, settings)
    try:
        service.start()
        yield service
    finally:
        service.process.close()


def test_behind_tls_the_cookie_is_secure_and_bound_to_its_host(behind_tls: Service) -> None:
    visitor = Visitor(behind_tls.url, **{"x-forwarded-proto": "https"})
    cookie = visitor.enter().headers["set-cookie"]

    assert cookie.startswith("__Host-imsg_session=")
    assert "secure" in cookie.lower()
    visitor.client.close()


def test_a_process_of_its_own_serves_the_page_over_http(behind_tls: Service) -> None:
    visitor = Visitor(behind_tls.url)
    visitor.enter()

    assert visitor.page("/users").status_code == 200
    visitor.client.close()
