"""HTTPS of `imsg up` by certificate files, which are read again when they change."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.settings import StartError, variable

log = logger(__name__)

POLL_S = 2.0
"""How often the files are looked at."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate with its chain, and its key: two PEM files, or one that holds both."""

    certificate: Path
    key: Path | None

    def open(self) -> ssl.SSLContext:
        """Return the context of a server. Raises StartError where the files hold no certificate with its key."""
        try:
            return self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
        except OSError as error:  # ssl.SSLError too
            raise StartError(
                "{0} and {1} ({2}, {3}) can't be used: {4}.",
                variable("tls", "certificate"),
                variable("tls", "key"),
                self.certificate,
                self.key or "the same file",
                _explain(error),
            ) from error

    async def follow(self, context: ssl.SSLContext) -> None:
        """Read the files again whenever they change; new connections get the new certificate.

        Files that fit no more, as in the middle of a renewal, leave the last certificate in force.
        """
        known = self._stamp()
        problem = RecurringProblem(log, "certificate_refused", file=str(self.certificate))
        while True:
            await asyncio.sleep(POLL_S)
            if (stamp := self._stamp()) == known:
                continue
            known = stamp
            try:
                self._load(
                    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                )  # tried apart: a failure changes nothing
                self._load(context)
            except OSError as error:
                problem.report(_explain(error))
            else:
                problem.clear()
                log.info("certificate_read", file=str(self.certificate))

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.load_cert_chain(self.certificate, self.key, password=_refuse_password)
        return context

    def _stamp(self) -> tuple[object, ...]:
        return tuple(_fingerprint(path) for path in (self.certificate, self.key) if path is not None)


def _fingerprint(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _refuse_password() -> str:
    """Refuse a key with a password: OpenSSL would ask for it at the terminal."""
    raise OSError("the key has a password; keep it without one, readable by iMSG alone")


def _explain(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return {"KEY_VALUES_MISMATCH": "the key is not the certificate's"}.get(
            error.reason or "", f"no PEM certificate with its key ({error.reason or error})"
        )
    return (error.strerror or str(error)).lower()
