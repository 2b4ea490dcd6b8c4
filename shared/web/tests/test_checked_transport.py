"""Calls by httpx connect only to checked addresses, and check the certificate of the host's name."""

import ssl

import httpx
import pytest
import trustme

from imsg_testing.http_stub import HttpStub, reply
from imsg_web.checked_transport import CheckedTransport
from imsg_web.destinations import INSIDE, AddressForbidden, AddressPolicy

LIMITS = httpx.Limits()


async def test_an_internal_address_is_called_only_where_the_policy_allows_it() -> None:
    stub = HttpStub(lambda _: reply({"here": 1}))
    async with stub.running():
        url = stub.url.replace("127.0.0.1", "localhost")
        closed = CheckedTransport(AddressPolicy((), "accounts", "IMSG_X"), limits=LIMITS)
        async with httpx.AsyncClient(transport=closed) as client:
            with pytest.raises(AddressForbidden, match="IMSG_X"):
                await client.get(url)
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get(url.replace("http:", "gopher:"))
        assert not stub.asked
        async with httpx.AsyncClient(transport=CheckedTransport(INSIDE, limits=LIMITS)) as client:
            answer = await client.post(url, params={"a": "b"}, content=b"body")
    assert answer.json() == {"here": 1}
    (asked,) = stub.asked
    assert (asked.headers["host"], asked.body) == (httpx.URL(url).netloc.decode(), b"body")


async def test_a_certificate_has_to_be_of_the_name_and_not_of_the_address() -> None:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    for name, is_good in (("localhost", True), ("other.example.com", False)):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name, "127.0.0.1").configure_cert(server)
        stub = HttpStub(lambda _: reply({}))
        async with stub.running(server):
            url = stub.url.replace("http://127.0.0.1", "https://localhost")
            transport = CheckedTransport(INSIDE, limits=LIMITS, verify=trusting)
            async with httpx.AsyncClient(transport=transport) as client:
                if is_good:
                    assert (await client.get(url)).is_success
                else:
                    with pytest.raises(httpx.ConnectError, match="certificate"):
                        await client.get(url)
