"""Secrets in a folder, one file each: made once, then kept."""

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
    "service_key": _make_key,
    **{f"{caller.replace('-', '_')}_key": _make_key for caller in CALLERS},
    **{f"{channel.name}_provider_key": _make_key for channel in CHANNELS},
    "token_key": _make_key,
    "erasure_key": _make_key,
    "secret_key": _make_key,
    "admin_password": _make_short_password,
    "rabbit_password": _make_password,
    **{
        f"{service.replace('-', '_')}_{server}_password": _make_password
        for service in rights.SERVICES
        for server in ("rabbit", "redis")
    },
    "redis_password": _make_password,
    "postgres_password": _make_password,
    "auth_db_password": _make_password,
    "history_db_password": _make_password,
    "callbacks_db_password": _make_password,
    "catalog_db_password": _make_password,
    "scheduler_db_password": _make_password,
    "wechat_db_password": _make_password,
    "wechat_secret": _make_wechat_token,
    "wechat_token": _make_wechat_token,
    "wechat_aes_key": _make_wechat_key,
}
"""Secret → how it is made; a secret of another name is made like a server's password."""


def keep(folder: Path, name: str, group: int | None = None) -> str:
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
            f"the secret {path} can't be kept ({(error.strerror or str(error)).lower()}); correct the folder's rights."
        ) from error
    if not value:
        raise StartError(f"the secret {path} is empty; remove the file, and a new one is made.")
    return value


def keep_all(folder: Path, names: Iterable[str], group: int | None = None) -> list[str]:
    """Make every secret whose file is missing; return the names of those that were made."""
    made = [name for name in names if not (folder / name).exists()]
    for name in names:
        keep(folder, name, group)
    if group is not None:
        os.chown(folder, -1, group)
        folder.chmod(0o750)
    return made


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
