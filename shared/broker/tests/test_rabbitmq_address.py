"""The broker's URL: several hosts, TLS, the management API, and one sentence for what is wrong."""

import pytest

from imsg_broker.rabbitmq.address import Host, parse
from imsg_broker.rabbitmq.tls import Tls


def test_a_plain_url_has_the_ports_of_its_scheme() -> None:
    address = parse("amqp://u:p@rabbit/")
    assert address.hosts == (Host("rabbit", 5672, 15672),)
    assert (address.username, address.password, address.vhost, address.tls) == ("u", "p", "/", None)
    assert address.management(address.hosts[0]) == "http://rabbit:15672/api/queues/%2F"


def test_amqps_speaks_tls_at_its_own_ports_and_to_the_management_api_too() -> None:
    address = parse("amqps://rabbit/?cafile=/ca.pem&certfile=/me.pem&keyfile=/me.key&server_name=rabbit.example")
    assert address.hosts == (Host("rabbit", 5671, 15671),)
    assert address.tls == Tls("/ca.pem", "/me.pem", "/me.key", "rabbit.example")
    assert address.server_name(address.hosts[0]) == "rabbit.example"
    assert address.management(address.hosts[0]).startswith("https://rabbit:15671/")


def test_without_a_host_it_is_this_machine_at_the_port_of_the_scheme() -> None:
    assert parse("amqp:///").hosts == (Host("127.0.0.1", 5672, 15672),)
    assert parse("amqps:///").hosts == (Host("127.0.0.1", 5671, 15671),)


def test_several_hosts_share_credentials_and_may_have_ports_of_their_own() -> None:
    address = parse("amqp://u:p@a, b:1234,[::1]:99/v%2Fw?management_port=80")
    assert address.hosts == (Host("a", 5672, 80), Host("b", 1234, 80), Host("::1", 99, 80))
    assert address.vhost == "v/w"
    assert address.management(address.hosts[2]) == "http://[::1]:80/api/queues/v%2Fw"


def test_each_host_may_have_a_management_port_of_its_own() -> None:
    assert [host.management_port for host in parse("amqp://a,b,c/?management_port=1,2,3").hosts] == [1, 2, 3]


def test_a_password_is_read_as_a_url_writes_it() -> None:
    address = parse("amqp://m%C3%BC:p%40s%3As%2Fw%23d@host/")
    assert (address.username, address.password) == ("mü", "p@s:s/w#d")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://host/", "must begin with amqp:// or amqps://"),
        ("amqp://host:99999/", "the port of host .* must be a number from 1 to 65535"),
        ("amqp://host/?management_port=0", "management_port"),
        ("amqp://a,b,c/?management_port=1,2", "one port, or one for each of the hosts"),
        ("amqp://host/?heartbit=3", "knows no heartbit; it knows management_port, cafile"),
        ("amqp://host/?cafile=/ca.pem", "cafile .* amqps:// only"),
        ("amqps://host/?cafile=", "cafile .* is empty"),
        ("amqp://u:pass#word@host/", "%23"),
    ],
)
def test_a_wrong_url_is_refused_with_what_is_wrong_in_it(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as error:
        parse(url)
    assert "pass" not in str(error.value).replace("password", "")
