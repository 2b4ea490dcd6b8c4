"""Attacks on the console's socket by a person who knows the ids of the administrator's page."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocket, expect

from imsg_testing.browser import DESK, Look, Visit
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in

Visits = Callable[..., Visit]

ATTACK = """async ({queries, frames, way}) => {
    // Speaks Engine.IO and Socket.IO by hand; resolves with all that came back once each frame was answered or refused.
    const path = '/_nicegui_ws/socket.io/?EIO=4&' + queries;
    const heard = [];
    const numbered = frames.map((frame, number) => '42' + (7000 + number) + frame);
    const last = '43' + (7000 + frames.length - 1);
    if (way === 'websocket') {
        return await new Promise((resolve) => {
            const socket = new WebSocket(location.origin.replace('http', 'ws') + path + '&transport=websocket');
            socket.onclose = () => resolve(heard);
            socket.onmessage = ({data}) => {
                heard.push(data);
                if (data === '2') socket.send('3');
                if (data.startsWith('0')) socket.send('40');
                if (data.startsWith('44')) socket.close();
                if (data.startsWith('40')) numbered.forEach((frame) => socket.send(frame));
                if (data.startsWith(last)) { window.kept = socket; resolve(heard); }
            };
        });
    }
    const ask = async (query, body) => {
        const answer = await fetch(path + '&transport=polling' + query, {method: body ? 'POST' : 'GET', body});
        const text = await answer.text();
        heard.push(...(answer.ok ? text : answer.status + '').split('\\x1e'));
        return answer.ok ? text : '';
    };
    const opened = await ask('');
    if (!opened) return heard;
    const sid = '&sid=' + JSON.parse(opened.slice(1)).sid;
    await ask(sid, '40');
    if (!(await ask(sid)).startsWith('40')) return heard;
    for (const frame of numbered) {
        if (await ask(sid, frame)) continue;
        await ask(sid);  // what answers the frames before the refused one
        return heard;
    }
    while (!heard.some((one) => one.startsWith(last))) if (!(await ask(sid))) break;
    return heard;
}"""


def ids(page: Page) -> dict[str, str]:
    """Return what names a page and its tab to NiceGUI."""
    page.wait_for_function("window.did_handshake")
    client, tab = page.evaluate("[window.clientId, window.socket.io.opts.query.tab_id]")
    return {"client_id": client, "tab_id": tab}


def attack(page: Page, queries: str, frames: Sequence[Sequence[object]], way: str) -> list[str]:
    """Attack from a page; return all that the server sent."""
    written = [json.dumps(frame) for frame in frames]  # Playwright would take a minute for a million lists
    heard: list[str] = page.evaluate(ATTACK, {"queries": queries, "frames": written, "way": way})
    return heard


def query(**fields: str) -> str:
    """Write a query as NiceGUI's own script does."""
    return "&".join(f"{name}={value}" for name, value in fields.items())


class Sniffed:
    """The events that a page has sent over its socket."""

    def __init__(self, page: Page) -> None:
        self.events: list[dict[str, Any]] = []
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framesent", self._record)

    def _record(self, frame: str | bytes) -> None:
        said = frame if isinstance(frame, str) else ""
        if said.startswith("42") and '"event"' in said[:14]:
            self.events.append(json.loads(said[said.index("[") :])[1])


@pytest.mark.parametrize("way", ["websocket", "polling"])
@pytest.mark.parametrize("role", ["user", "nobody"])
def test_no_person_reads_or_operates_the_page_of_another(
    deployment: Deployment, visit: Visits, way: str, role: str
) -> None:
    admin = visit(Look("en", DESK))
    sniffed = Sniffed(admin.page)
    log_in(admin)
    admin.page.goto("/channels")
    pause = admin.page.locator("[data-key=sms]").get_by_role("button", name=re.compile("^Pause"))
    dialog = admin.page.get_by_role("dialog")
    pause.click()
    expect(dialog).to_have_count(1)
    clicked = [event for event in sniffed.events if event["args"]][-1]
    admin.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    victim = ids(admin.page)

    thief = visit(Look("en", DESK))
    thief.complaints.expect(".")
    if role == "user":
        log_in(thief, deployment.new_user(), "correct horse")
        thief.page.goto("/limits")
        own = ids(thief.page)
    else:
        thief.page.goto("/health/live")  # of our origin, and without a policy that would hold the attack back
        own = {"client_id": "00000000-0000-4000-8000-000000000000", "tab_id": "1"}

    implicit = {"implicit_handshake": "true", "document_id": "d", "next_message_id": "0"}
    both = {**victim, **implicit, "old_tab_id": victim["tab_id"]}
    taken = query(**both)
    queries = [
        f"{taken}&client_id={own['client_id']}",
        f"client_id={own['client_id']}&{taken}",
        f"{taken}&client%5Fid={own['client_id']}",
        f"{taken}&client_id=",
        f"client_id=&{taken}",
        query(**own),
        query(**own) + "&implicit_handshake=true&document_id=d",
        query(client_id="11111111-1111-4111-8111-111111111111", tab_id="1"),
        query(document_id="d"),
        taken,
    ]
    frames: list[list[object]] = [
        ["handshake", {**victim, "document_id": "d", "next_message_id": 0}],
        ["connect", {"QUERY_STRING": taken}],
        ["connect", {"QUERY_STRING": taken}, None],
        ["event", clicked],
        ["event", {**clicked, "client_id": [victim["client_id"]]}],
        ["javascript_response", {"client_id": victim["client_id"], "request_id": "1", "result": True}],
        ["ack", {"client_id": victim["client_id"], "next_message_id": 10**6}],
        ["log", {"client_id": victim["client_id"], "level": "error", "message": "forged"}],
    ]
    for one in queries:
        heard = attack(thief.page, one, frames, way)
        assert_nothing_of(victim, heard, has_a_page_of_its_own=one.startswith(query(**own)) and role == "user")

    # What the administrator does now reaches their own page, and no socket of the thief's that is still open.
    expect(dialog).to_have_count(0)
    pause.click()
    expect(dialog).to_have_count(1)
    admin.page.keyboard.press("Escape")
    assert "forged" not in deployment.logs


def assert_nothing_of(victim: Mapping[str, str], heard: Sequence[str], *, has_a_page_of_its_own: bool) -> None:
    """No handshake was granted (an acknowledgement that says true), and nothing of the page came."""
    said = "\n".join(heard)
    assert not re.search(r"^43700\d\[true\]", said, re.MULTILINE), said
    assert victim["client_id"] not in said
    assert "data-table" not in said
    assert has_a_page_of_its_own or '42["' not in said


@pytest.mark.parametrize("way", ["websocket", "polling"])
def test_a_message_of_a_million_parts_is_refused_unread_and_ends_its_own_socket_alone(
    deployment: Deployment, visit: Visits, way: str
) -> None:
    seen = visit(Look("en", DESK))
    seen.complaints.expect("413|WebSocket|socket.io")
    log_in(seen, deployment.new_user(), "correct horse")
    seen.page.goto("/limits")
    own = ids(seen.page)
    heavy = ["event", {"client_id": own["client_id"], "id": 1, "args": [[] for _ in range(1_000_000)]}]

    heard = attack(
        seen.page, query(**own), [["ack", {"client_id": own["client_id"], "next_message_id": 0}], heavy], way
    )
    assert any(packet.startswith("43") and packet.startswith("437000") for packet in heard), (
        heard
    )  # what came before was heard
    assert not any(packet.startswith("437001") for packet in heard), heard
    assert way == "websocket" or "413" in heard
    seen.page.goto("/limits")
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("My limits")
