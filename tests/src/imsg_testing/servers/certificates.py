"""Certificates of a test's own: an authority, what it signed for a server and for a client, as files."""

from pathlib import Path

import trustme


class Certificates:
    """One authority's files: `ca`, the server's certificate with its key, the client's with its key."""

    def __init__(self, folder: Path, server_name: str) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.server, self.server_key = _write(authority.issue_cert(server_name), folder, "server")
        self.client, self.client_key = _write(authority.issue_cert("imsg@example.com"), folder, "client")


def _write(certificate: trustme.LeafCert, folder: Path, name: str) -> tuple[Path, Path]:
    chain, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    for n, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(str(chain), append=n > 0)
    certificate.private_key_pem.write_to_path(str(key))
    return chain, key
