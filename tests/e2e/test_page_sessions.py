"""Sessions of the web page outlive the console, and end where their user ends them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.deployment import Deployment, running
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long  # the console is killed and started again


@pytest.fixture
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run `imsg up` of a test's own, to be killed."""
    with running(tmp_path_factory.mktemp("sessions")) as deployment:
        yield deployment


@contextmanager
def enter(deployment: Deployment, name: str, agent: str) -> Iterator[httpx.Client]:
    """Log in on the web page, as a browser."""
    headers = {"accept": "text/html", "user-agent": agent}
    with httpx.Client(base_url=deployment.url, timeout=60, headers=headers) as browser:
        form = {"username": name, "password": PASSWORD}
        assert browser.post("/login", data=form, headers={"origin": deployment.url}).status_code == 303
        yield browser


def list_sessions(deployment: Deployment, name: str) -> list[dict[str, Any]]:
    """List a user's sessions by the API."""
    sessions: list[dict[str, Any]] = deployment.call("GET", "/api/v2/sessions", token=deployment.token(name, PASSWORD))[
        "sessions"
    ]
    return sessions


def test_one_is_still_logged_in_when_the_console_was_killed(deployment: Deployment) -> None:
    name = deployment.new_user()
    with enter(deployment, name, "Firefox") as browser:
        os.kill(deployment.process.pid, signal.SIGKILL)
        wait(lambda: not deployment.process.runs)
        deployment.start()

        page = browser.get("/mine")

        assert page.status_code == 200
        assert name in page.text
        (session,) = list_sessions(deployment, name)
        assert (session["agent"], session["address"], session["current"]) == ("Firefox", "127.0.0.1", False)


def test_a_session_is_ended_from_elsewhere_and_no_other_by_strangers(deployment: Deployment) -> None:
    name, stranger = deployment.new_user(), deployment.new_user_token()
    with enter(deployment, name, "Firefox") as here, enter(deployment, name, "Chrome") as there:
        found = {session["agent"]: session["id"] for session in list_sessions(deployment, name)}
        path = f"/api/v2/sessions/{found['Chrome']}"
        assert deployment.call("DELETE", path, token=stranger)["reason"] == "not_found"
        assert there.get("/mine").status_code == 200
        assert deployment.call("DELETE", path, token=deployment.token(name, PASSWORD))["errorCode"] == 0

        assert there.get("/usage").headers.get("location", "").startswith("/login")
        assert here.get("/mine").status_code == 200
        assert [session["agent"] for session in list_sessions(deployment, name)] == ["Firefox"]
        assert deployment.wait_audited(action="session_ended", target=name)["before"]["agent"] == "Chrome"


def test_an_ended_session_is_not_resumed_by_the_next_console(deployment: Deployment) -> None:
    name = deployment.new_user()
    with enter(deployment, name, "Firefox") as left, enter(deployment, name, "Chrome") as changed:
        assert left.post("/logout", headers={"origin": deployment.url}).status_code == 303
        secret = changed.cookies["imsg_session"]
        body = {"token": deployment.token(name, PASSWORD), "everywhere": True}
        assert deployment.call("POST", "/api/v2/logout", body)["errorCode"] == 0

        answer = deployment.call("POST", "/api/v2/sessions/resume", {"secret": secret})

        assert answer["reason"] == "token_invalid"
