"""`imsg up` serves HTTPS by certificate files, and reads them again when they are renewed."""

import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from imsg.tls import CertificateFiles
from imsg_runtime.settings import StartError
from imsg_testing.deployment import Deployment, run_up, running
from imsg_testing.servers import reserve_port
from imsg_testing.servers.certificates import Certificates
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long  # certificates are replaced while it runs

HOST = "imsg.example.com"
PASSWORD = "correct-horse-battery-9"
RELOAD_TIMEOUT_S = 60.0


class Site:
    """An `imsg up` with HTTPS, and the files it reads."""

    def __init__(self, deployment: Deployment, port: int, files: tuple[Path, Path]) -> None:
        self.deployment = deployment
        self._port = port
        self._files = files

    def renew(self, certificates: Certificates) -> None:
        """Replace the certificate files."""
        for new, place in zip((certificates.server, certificates.server_key), self._files, strict=True):
            shutil.copy(new, place.with_suffix(".new"))
            place.with_suffix(".new").replace(place)

    def call(self, certificates: Certificates, path: str, **json: str) -> httpx.Response:
        """Call it as a client that trusts one authority alone."""
        with httpx.Client(verify=ssl.create_default_context(cafile=str(certificates.ca)), timeout=30) as client:
            return client.request(
                "POST" if json else "GET",
                f"https://127.0.0.1:{self._port}{path}",
                headers={"Host": HOST},
                extensions={"sni_hostname": HOST},
                json=json or None,
            )

    def trusts(self, certificates: Certificates) -> bool:
        """Return whether a client that trusts this authority alone connects."""
        try:
            return self.call(certificates, "/health/live").status_code == 200
        except httpx.ConnectError:
            return False


def _make(folder: Path) -> Certificates:
    folder.mkdir()
    return Certificates(folder, HOST)


@contextmanager
def _serving(folder: Path, certificates: Certificates) -> Iterator[Site]:
    files = (folder / "fullchain.pem", folder / "privkey.pem")
    for source, place in zip((certificates.server, certificates.server_key), files, strict=True):
        shutil.copy(source, place)
    port = reserve_port()
    settings = {
        "IMSG_TLS__CERTIFICATE": str(files[0]),
        "IMSG_TLS__KEY": str(files[1]),
        "IMSG_TLS__HOST": "127.0.0.1",
        "IMSG_TLS__PORT": str(port),
        "IMSG_PUBLIC_URL": f"https://{HOST}",
        "IMSG_ADMIN_PASSWORD": PASSWORD,
    }
    with running(folder / "up", settings) as deployment:
        yield Site(deployment, port, files)


def test_https_serves_page_and_interface_and_a_renewed_certificate_without_a_restart(tmp_path: Path) -> None:
    first, second = _make(tmp_path / "first"), _make(tmp_path / "second")
    with _serving(tmp_path, first) as site:
        answer = site.call(first, "/api/v2/login", username="admin", password=PASSWORD)
        assert answer.json()["errorCode"] == 0
        page = site.call(first, "/login")
        assert (page.status_code, page.headers["strict-transport-security"]) == (200, "max-age=31536000")
        assert "strict-transport-security" not in httpx.get(f"{site.deployment.url}/login").headers
        assert not site.trusts(second)
        assert f"https://{HOST}" in site.deployment.logs

        site.renew(second)

        wait(lambda: site.trusts(second), RELOAD_TIMEOUT_S)
        assert not site.trusts(first)


def test_files_that_fit_no_more_leave_the_last_certificate_in_force(tmp_path: Path) -> None:
    first, second = _make(tmp_path / "first"), _make(tmp_path / "second")
    with _serving(tmp_path, first) as site:
        shutil.copy(second.server, tmp_path / "fullchain.pem")  # its key is still the first's

        wait(lambda: "the key is not the certificate's" in site.deployment.logs, RELOAD_TIMEOUT_S)
        assert site.trusts(first)

        site.renew(second)
        wait(lambda: site.trusts(second), RELOAD_TIMEOUT_S)


@pytest.mark.parametrize(
    ("files", "named"),
    [(("gone.pem", None), "gone.pem"), (("server.pem", "client-key.pem"), "the key is not the certificate's")],
)
def test_files_that_can_not_serve_are_named(files: tuple[str, str | None], named: str, tmp_path: Path) -> None:
    Certificates(tmp_path, HOST)
    certificate, key = files
    with pytest.raises(StartError, match=named):
        CertificateFiles(tmp_path / certificate, tmp_path / key if key else None).open()


def test_a_certificate_without_a_public_url_stops_the_start(tmp_path: Path) -> None:
    Certificates(tmp_path, HOST)
    deployment = Deployment(tmp_path, {"IMSG_TLS__CERTIFICATE": "ca.pem"})
    try:
        done = run_up(deployment.environment, tmp_path)
    finally:
        deployment.close()

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "IMSG_PUBLIC_URL" in line
