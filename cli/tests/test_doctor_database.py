from urllib.parse import urlsplit

from imsg.doctor.stores import check_postgres


def place(url: str) -> tuple[str, int]:
    """Read where a server is."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def test_of_several_servers_each_is_asked(postgres_url: str, reserved_port: int) -> None:
    lives, silent = place(postgres_url), ("127.0.0.1", reserved_port)
    assert check_postgres([lives]).remedy == ""
    found = check_postgres([lives, silent])
    assert f"answers at 127.0.0.1:{lives[1]};" in found.state
    assert f"127.0.0.1:{silent[1]} does not answer" in found.state
    assert "No other server can take over" in found.remedy
    assert "Start it" in check_postgres([silent]).remedy
