"""All of iMSG in one container: `docker run -p 8000:8000 -v imsg:/data imsg`."""

import re
from collections.abc import Iterator

import pytest

from imsg_testing.one_container import OneContainer, build, docker
from imsg_testing.waiting import wait

pytestmark = [pytest.mark.timeout(900)]


@pytest.fixture
def container() -> Iterator[OneContainer]:
    """Yield a container that does not run yet; remove it and its volume."""
    build()
    container = OneContainer()
    yield container
    container.close()


def test_it_sends_a_mail_without_root_and_keeps_it_in_its_volume(container: OneContainer) -> None:
    api = container.run()
    assert docker("exec", container.name, "id", "-u") != "0"
    (reading,) = set(re.findall(r"docker exec \w+ cat \S+admin_password", container.logs))
    password = docker(*reading.split()[1:])
    token = api.call("POST", "/api/v2/login", {"username": "admin", "password": password})["token"]
    mail = {"to": "you@example.com", "method": "smtp", "content": {"subject": "hello", "text": "您好"}}
    sent = api.call("POST", "/api/v2/messages", {"token": token, **mail})
    path = f"/api/v2/messages?request={sent['id']}"
    wait(lambda: [message["status"] for message in api.call("GET", path, token=token)["messages"]] == ["sent"], 60)

    docker("exec", container.name, "imsg", "login", "admin", "--password", password)
    assert "you@example.com" in docker("exec", container.name, "imsg", "query")

    assert container.stop() == 0
    container.run()

    token = api.call("POST", "/api/v2/login", {"username": "admin", "password": password})["token"]
    assert [message["to"] for message in api.call("GET", path, token=token)["messages"]] == ["you@example.com"]
