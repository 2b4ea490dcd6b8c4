"""What the gateway counts of requests."""

import re

from imsg_testing.gateway import RunningGateway, mail


async def read_counters(gateway: RunningGateway) -> dict[str, float]:
    """Read the counters of requests: their labels → how many."""
    text = (await gateway.client.get("/metrics")).text
    return {
        labels: float(value) for labels, value in re.findall(r"^imsg_requests_total\{(.*)\} (\S+)$", text, re.MULTILINE)
    }


def labels(verb: str, route: str, version: str, code: str) -> str:
    return f'code="{code}",route="{route}",verb="{verb}",version="{version}"'


async def test_requests_are_counted_by_route_version_and_code(gateway: RunningGateway) -> None:
    token = await gateway.user()
    await gateway.client.post("/api/send", json=mail(token=token))
    await gateway.client.post("/api/v2/messages", json=mail(token=token))
    await gateway.client.post("/api/v2/messages", json=mail(token=token, to=[]))
    await gateway.client.get("/api/v2/me", params={"token": token})
    found = await read_counters(gateway)
    assert found[labels("POST", "/api/send", "v1", "0")] == 1
    assert found[labels("POST", "/api/v2/messages", "v2", "0")] == 1
    assert found[labels("POST", "/api/v2/messages", "v2", "10011")] == 1


async def test_an_answer_in_many_chunks_is_one_request(gateway: RunningGateway) -> None:
    path = "/docs/swagger-ui-bundle.js"
    assert len((await gateway.client.get(path)).content) > 1024 * 1024
    assert (await read_counters(gateway))[labels("GET", path, "", "")] == 1


async def test_a_path_from_outside_is_no_label(gateway: RunningGateway) -> None:
    """A client that requests a million paths must not make a million series."""
    for n in range(20):
        await gateway.client.get(f"/no/such/{n}")
        await gateway.client.request(f"ODD{n}", "/api/send")
    found = await read_counters(gateway)
    assert found[labels("", "unknown", "", "10001")] == 40
    assert not any("such" in label or "ODD" in label for label in found)


async def test_the_time_to_an_answer_is_measured_by_route(gateway: RunningGateway) -> None:
    await gateway.client.post("/api/send", json=mail(token=await gateway.user()))
    text = (await gateway.client.get("/metrics")).text
    assert 'imsg_request_duration_seconds_count{route="/api/send"} 1.0' in text
