"""`imsg up` starts and ends: cleanly, with one clear line, or by kill -9 under load."""

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from imsg_testing.api import DOCUMENTED
from imsg_testing.command_line import IMSG, Ended, run_imsg
from imsg_testing.deployment import Deployment, find_pasted, paste, run_up, running
from imsg_testing.processes import descendants
from imsg_testing.servers import reserve_port
from imsg_testing.service import environment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long  # it starts, ends and kills iMSG over and over


def _up(folder: Path, **settings: str) -> Ended:
    port = reserve_port()
    given = environment({"IMSG_DATA_DIR": str(folder / "data"), "IMSG_PORT": str(port), **settings})
    return run_up(given, folder)


def _is_one_clear_line(done: Ended, *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("imsg: ")
    for word in words:
        assert word in line


def _find_child(deployment: Deployment) -> int:
    """Return the process that serves: the child of the one that watches."""
    return descendants(deployment.process.pid)[0]


def _valkeys(deployment: Deployment) -> list[int]:
    return [pid for served_by in descendants(deployment.process.pid)[:1] for pid in descendants(served_by)]


def read_maps(pid: int) -> str:
    """Read what a process has mapped; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        _is_one_clear_line(_up(tmp_path, IMSG_PORT=port), port, "IMSG_PORT")


def test_a_start_that_waits_for_a_store_reports_it_while_it_waits(tmp_path: Path, reserved_port: int) -> None:
    url = f"postgresql://imsg:imsg@127.0.0.1:{reserved_port}/imsg"
    deployment = Deployment(tmp_path, {"IMSG_DATABASE_URL": url})
    try:
        deployment.process.start()
        wait(lambda: "waiting" in deployment.logs, 200)
        assert "the database at IMSG_DATABASE_URL" in deployment.logs
        assert "did not answer" not in deployment.logs, "it has not given up"
        wait(lambda: not deployment.process.runs, 200)
        assert "imsg: the database at IMSG_DATABASE_URL did not answer" in deployment.logs
    finally:
        deployment.close()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    _is_one_clear_line(
        _up(tmp_path, IMSG_DATA_DIR=str(tmp_path / "file" / "data")), "can't be written", "IMSG_DATA_DIR"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMSG_PORT", "eighty"),
        ("IMSG_SMTP__SECURITY", "ssl"),
        ("IMSG_BROKER_URL", "kafka://127.0.0.1"),
        ("IMSG_DATABASE_URL", "mysql://127.0.0.1/imsg"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(tmp_path: Path, name: str, value: str) -> None:
    settings = {name: value}
    if name.startswith("IMSG_SMTP"):
        settings |= {"IMSG_SMTP__HOST": "mail.example.com", "IMSG_SMTP__SENDER": "imsg@example.com"}

    _is_one_clear_line(_up(tmp_path, **settings), name)


def test_a_second_start_on_the_same_data_is_one_line_and_harms_nothing(shared_stack: Deployment) -> None:
    _is_one_clear_line(_up(shared_stack.folder), str(_find_child(shared_stack)), "IMSG_DATA_DIR")

    shared_stack.wait_until_ready()


def test_off_loopback_no_documented_password_works_and_the_sandbox_wants_a_token(tmp_path: Path) -> None:
    with running(tmp_path, {"IMSG_HOST": "0.0.0.0"}) as deployment:
        made = deployment.data / "secrets" / "admin_password"
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
        assert made.read_text() not in deployment.logs

        sent, arrived = paste(find_pasted(deployment.logs))
        assert (sent["errorCode"], len(arrived["messages"])) == (0, 1)
        assert deployment.call("GET", "/sandbox/inbox")["errorCode"] == 10002
        for username, password in DOCUMENTED.items():
            answer = deployment.call("POST", "/api/login", {"username": username, "password": password})
            assert answer["errorCode"] in (10006, 10007)


PUBLIC = {"IMSG_PUBLIC_URL": "https://imsg.example.com", "IMSG_TRUSTED_PROXIES": "127.0.0.1"}


def test_behind_a_proxy_of_this_machine_it_is_as_closed_as_off_loopback(tmp_path: Path) -> None:
    with running(tmp_path, PUBLIC) as deployment:
        password = (deployment.data / "secrets" / "admin_password").read_text().strip()
        assert password not in deployment.logs
        assert "123" not in re.sub(r"https?://\S+", "", deployment.logs.partition("accounts")[2].partition("\n")[0])
        sent, arrived = paste(find_pasted(deployment.logs))
        assert (sent["errorCode"], len(arrived["messages"])) == (0, 1)
        assert deployment.call("GET", "/sandbox/inbox")["errorCode"] == 10002
        for username, documented in DOCUMENTED.items():
            answer = deployment.call("POST", "/api/login", {"username": username, "password": documented})
            assert answer["errorCode"] in (10006, 10007)
        page = deployment.client.get("/login", headers={"host": "imsg.example.com", "accept": "text/html"})
        assert page.status_code == 200
        assert "123" not in re.sub(r"<[^>]*>", "", page.text)


@pytest.mark.timeout(300)
def test_an_installation_from_loopback_prints_the_command_that_lets_it_start_elsewhere(tmp_path: Path) -> None:
    """Neither off loopback nor behind a proxy does it open to the world with its documented passwords."""
    with running(tmp_path):
        pass

    _is_one_clear_line(_up(tmp_path, IMSG_HOST="0.0.0.0"), "imsg users reset-password", "IMSG_HOST")
    for username in DOCUMENTED:
        command = f"imsg users reset-password {username}"
        _is_one_clear_line(_up(tmp_path, **PUBLIC), username, "IMSG_PUBLIC_URL", command)
        given = environment({"IMSG_DATA_DIR": str(tmp_path / "data"), **PUBLIC})
        words = (*command.split()[1:], "--password", "-")
        done = run_imsg(*words, env=given, cwd=tmp_path, given="correct horse battery\n")
        assert done.returncode == 0, done.stderr

    with running(tmp_path, PUBLIC) as deployment:
        assert deployment.call("POST", "/api/login", {"username": "admin", "password": "correct horse battery"})[
            "token"
        ]


@pytest.mark.parametrize(
    "path",
    ["/api/login", "/api/send", "/docs", "/openapi.json", "/sandbox/inbox", "/hooks/wechat/sandbox", "/", "/login"],
)
def test_under_a_name_of_another_no_route_answers(shared_stack: Deployment, path: str) -> None:
    """A page whose name is made to resolve to 127.0.0.1 (DNS rebinding) got an administrator's token this way."""
    body = {"username": "admin", "password": "123"}
    for host in ("evil.example", f"evil.example:{shared_stack.port}", "127.0.0.1.evil.example", "evil.localhost"):
        for verb in ("GET", "POST"):
            answer = shared_stack.client.request(verb, path, json=body, headers={"host": host})
            assert "token" not in answer.text
            if path in ("/api/login", "/api/send"):  # the document's own URLs: 200 to everything, the rest in headers
                assert (answer.status_code, answer.headers["x-imsg-reason"]) == (200, "wrong_host")
                assert answer.json()["errorCode"] != 0
                continue
            assert (answer.status_code, answer.json()["reason"]) == (421, "wrong_host")
            assert "IMSG_ALLOWED_HOSTS" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/api/login"),
        ("POST", "/api/send"),
        ("GET", "/api/query"),
        ("GET", "/api/v2/messages"),
        ("GET", "/api/v2/me"),
        ("GET", "/api/nowhere"),
        ("DELETE", "/api/login"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/health/ready"),
        ("GET", "/health/live"),
        ("GET", "/hooks/nobody"),
        ("POST", "/hooks/wechat/sandbox"),
        ("GET", "/sandbox/inbox"),
        ("GET", "/"),
    ],
)
def test_no_answer_is_kept_by_a_cache_or_taken_for_what_it_is_not(
    shared_stack: Deployment, verb: str, path: str
) -> None:
    for token in ({}, {"Authorization": f"Bearer {shared_stack.token()}"}):
        headers = shared_stack.client.request(verb, path, headers=token, json={"token": "x"}).headers
        assert headers.get_list("cache-control") == ["no-store"]
        assert headers.get_list("x-content-type-options") == ["nosniff"]


def test_at_debug_neither_cookies_nor_tokens_nor_typed_text_reach_the_log(tmp_path: Path) -> None:
    with running(tmp_path, {"IMSG_LOG_LEVEL": "DEBUG"}) as deployment:
        token = deployment.token()
        client = httpx.Client(base_url=deployment.url, timeout=60)
        form = {"username": "admin", "password": "123"}
        entered = client.post("/login", data=form, headers={"origin": deployment.url})
        assert entered.status_code == 303
        cookie = client.cookies["imsg_session"]
        for path in ("/api/query", "/api/nowhere", "/_nicegui/nowhere", "/nowhere", "/_console/static/nowhere"):
            client.get(path, params={"token": token})
            deployment.client.get(path, params={"token": token, "to": "被查找的人"})
        answer = client.get("/users")
        assert answer.status_code == 200
        wrong = deployment.client.post(
            "/login", data=form | {"password": "typed-in-secret"}, headers={"origin": deployment.url}
        )
        assert wrong.status_code == 401
        client.close()
        for secret in (token, token[:20], cookie, "typed-in-secret", "被查找的人"):
            assert secret not in deployment.logs


def test_probes_answer_under_any_name(shared_stack: Deployment) -> None:
    for path in ("/health/live", "/health/ready"):
        wait(lambda at=path: shared_stack.client.get(at, headers={"host": "10.1.2.3"}).is_success, 60)  # type: ignore[misc]


def test_ctrl_c_ends_it_at_once_and_keeps_the_data_and_kill_9_leaves_no_process_behind(tmp_path: Path) -> None:
    with running(tmp_path) as deployment:
        accepted = deployment.send("zhang@example.com")
        deployment.wait_settled(accepted["id"])
        before = len(deployment.logs)

        os.kill(deployment.process.pid, signal.SIGINT)
        wait(lambda: not deployment.process.runs)

        assert deployment.process.exit_code == 0
        assert not re.search(r"\[error|\[critical|Traceback", deployment.logs[before:])

        deployment.start()
        (message,) = deployment.messages(accepted["id"])
        assert message["status"] == "sent"

        children = descendants(deployment.process.pid)
        assert len(children) > 1, "the server, and Valkey as a child of it"
        os.kill(deployment.process.pid, signal.SIGKILL)
        wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 60)


def test_ctrl_c_while_it_loads_ends_it_without_a_word(tmp_path: Path) -> None:
    port = reserve_port()
    settings = environment({"IMSG_PORT": str(port), "IMSG_DATA_DIR": str(tmp_path / "data")})
    process = subprocess.Popen([str(IMSG), "up"], env=settings, stderr=subprocess.PIPE, cwd=tmp_path)
    # It loads for most of a second; a library's shared objects are mapped early in that.
    wait(lambda: any("pydantic_core" in read_maps(pid) for pid in descendants(process.pid)))

    process.send_signal(signal.SIGINT)

    _, said = process.communicate(timeout=60)
    assert process.returncode in {-signal.SIGINT, 0, 130}
    assert said == b""


def test_valkey_killed_alone_comes_back_with_all_it_had_and_killed_on_and_on_ends_it_all(tmp_path: Path) -> None:
    with running(tmp_path) as deployment:
        deployment.token()
        (valkey,) = _valkeys(deployment)
        os.kill(valkey, signal.SIGKILL)
        wait(lambda: valkey not in _valkeys(deployment) and bool(_valkeys(deployment)))

        accepted: dict[str, Any] = {}

        def is_accepted() -> bool:
            accepted.update(deployment.send("zhang@example.com"))
            return bool(accepted["errorCode"] == 0)

        wait(is_accepted, every_s=0.2)

        (message,) = deployment.wait_settled(accepted["id"])
        assert message["status"] == "sent"

        killed: set[int] = set()

        def kill_on() -> bool:
            for pid in set(_valkeys(deployment)) - killed:
                with contextlib.suppress(ProcessLookupError):  # all of it has ended meanwhile
                    os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            return not deployment.process.runs

        wait(kill_on, 60)
        assert deployment.process.exit_code == 1
        assert "imsg: valkey died" in deployment.logs
