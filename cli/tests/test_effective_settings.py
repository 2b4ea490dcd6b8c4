"""What is shown of a setting that holds a URL: never its password."""

import pytest

from imsg.effective_settings import mask


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:geheim@host:6379/0", "redis://:••••@host:6379/0"),
        ("amqp://imsg:geheim@a:5672,b:5672/v?cafile=/ca.pem", "amqp://imsg:••••@a:5672,b:5672/v?cafile=/ca.pem"),
        ("postgresql://imsg:geheim@a,b/imsg?sslmode=require", "postgresql://imsg:••••@a,b/imsg?sslmode=require"),
        ("postgresql://imsg:geheim@a:5432,b:5433/imsg", "postgresql://imsg:••••@a:5432,b:5433/imsg"),
        ("redis+sentinel://imsg:geheim@a,b:26380/main", "redis+sentinel://imsg:••••@a,b:26380/main"),
        ("redis+sentinel://a/main?sentinel_password=geheim", "redis+sentinel://a/main?sentinel_password=••••"),
        ("https://imsg.example.com:8443/", "https://imsg.example.com:8443/"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
    ],
)
def test_the_password_of_a_url_is_hidden_and_the_rest_is_shown(url: str, shown: str) -> None:
    assert mask(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "amqp://imsg:geheim@a,imsg:geheim@b/",
        "postgresql://imsg:geh/geheim@host/imsg",
        "postgresql://imsg:geh@geheim@host/imsg",
        "redis://:geh?geheim#geheim@host/0",
        "redis://:geh:geheim@host/0",
        "postgresql:///imsg?host=/run&user=imsg&password=geheim",
        "postgresql://host/imsg?sslpassword=geheim&PASSWORD=geheim",
        "redis://host/0?db=1&password=geheim",
        "amqps://imsg:geheim@a/?auth_token=geheim",
        "https://user:geheim@imsg.example.com/?token=geheim",
        "streams on redis://:geheim@host:6379/0",
    ],
)
def test_no_way_to_write_a_password_shows_it(url: str) -> None:
    assert "geheim" not in mask(url)
