"""Secrets in a folder, one file each: a few are made once, then kept; the others are derived from one of them."""

import hmac
import os
import secrets
import string
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from imsg import rights
from imsg_channels import CHANNELS
from imsg_runtime.settings import CALLERS, StartError


def _make_key() -> str:
    return secrets.token_hex(32)


def _make_password() -> str:
    """Return a password that needs no escaping in a URL, a shell or a configuration file."""
    return secrets.token_hex(24)


def _make_short_password() -> str:
    """Return a password that a person can type."""
    return secrets.token_hex(10)


def _make_wechat_token() -> str:
    """Return what WeChat calls a secret or a token: at most 32 letters and digits."""
    return secrets.token_hex(16)


def _make_wechat_key() -> str:
    """Return an EncodingAESKey: 43 letters and digits, a subset of base64."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(43))


MADE: Mapping[str, Callable[[], str]] = {
    "root_key": _make_key,
    "service_key": _make_key,
    "token_key": _make_key,
    "erasure_key": _make_key,
    "secret_key": _make_key,
    "admin_password": _make_short_password,
    "wechat_secret": _make_wechat_token,
    "wechat_token": _make_wechat_token,
    "wechat_aes_key": _make_wechat_key,
}
"""Secret → how it is made; a secret of another name is made like a server's password."""

ROOT = "root_key"
"""The secret from which passwords and keys are derived. No service, no store and no pod has it."""

KEPT = (ROOT, "token_key", "erasure_key", "secret_key", "admin_password")
"""What must last. The three keys open what is stored, so they are not derived: another root key loses no data."""

TABLE_OWNERS = (
    "auth",
    "history",
    "callbacks",
    "catalog",
    "scheduler",
    *(channel.name for channel in CHANNELS if channel.deployment is not None and channel.deployment.has_tables),
)
"""The services with a role at PostgreSQL."""

DERIVED = (
    *(f"{caller.replace('-', '_')}_key" for caller in CALLERS),
    *(f"{channel.name}_provider_key" for channel in CHANNELS),
    *(f"{service.replace('-', '_')}_{store}_password" for service in rights.SERVICES for store in ("rabbit", "redis")),
    *(f"{owner}_db_password" for owner in TABLE_OWNERS),
    *(f"{store}_password" for store in ("rabbit", "redis", "postgres")),
)
"""The keys between services, and the passwords at the stores: those of services, and the administrators'."""

_LENGTHS = {"wechat_secret": 32, "wechat_token": 32, "wechat_aes_key": 43}
"""How long a secret of WeChat may be; any other derived one has 64 characters."""

_LEAST = 32
"""Of the root key's characters."""


def read_or_make(folder: Path, name: str, group: int | None = None) -> str:
    """Return the secret of this name; make it if its file is missing.

    The file has mode 600, or 640 for `group`. Two processes that start at once get the same secret. Raises StartError.
    """
    path = folder / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write(path, MADE.get(name, _make_password)())
        _protect(path, group)
        value = path.read_text().strip()
    except OSError as error:
        raise StartError(
            "the secret {0} can't be kept ({1}); correct the folder's rights.",
            path,
            (error.strerror or str(error)).lower(),
        ) from error
    if not value:
        raise StartError("the secret {0} is empty; remove the file, and a new one is made.", path)
    return value


def make_missing(folder: Path, names: Iterable[str], group: int | None = None) -> list[str]:
    """Make every secret whose file is missing; return the names of those that were made."""
    made = [name for name in names if not (folder / name).exists()]
    for name in names:
        read_or_make(folder, name, group)
    if group is not None:
        os.chown(folder, -1, group)
        folder.chmod(0o750)
    return made


def write_all(folder: Path, to: Path, more: Iterable[str] = ()) -> None:
    """Write every secret of the services and stores into `to`, one file each, and those named in `more`.

    A secret that has a file in `folder` is that file. Every other one is an HMAC of its name under the root key, from
    which neither the root key nor another secret can be learned. Raises StartError.
    """
    root = read_or_make(folder, ROOT)
    if len(root) < _LEAST:
        raise StartError(
            "the secret {0} has less than {1} characters; remove it, and one is made.", folder / ROOT, _LEAST
        )
    try:
        stored = {file.name: file.read_text() for file in folder.iterdir() if _is_secret(file) and file.name != ROOT}
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, value in ({name: _derive(root, name) for name in (*DERIVED, *more)} | stored).items():
            _replace(to / name, value)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StartError("the secrets can't be written into {0} ({1}).", to, why) from error


def _derive(root: str, name: str) -> str:
    return hmac.digest(root.encode(), f"imsg secret {name}".encode(), "sha256").hex()[: _LENGTHS.get(name)]


def _is_secret(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".")


def _replace(path: Path, value: str) -> None:
    path.touch(mode=0o600)
    path.write_text(value)


def _write(path: Path, value: str) -> None:
    """Write the file under another name, then link it: no reader sees half of it, and an existing file stays."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _protect(path: Path, group: int | None) -> None:
    if group is None:
        path.chmod(0o600)
        return
    os.chown(path, -1, group)
    path.chmod(0o640)
