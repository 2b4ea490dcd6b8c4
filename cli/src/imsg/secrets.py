"""Secrets in a folder, one file each: made once, then left as they are."""

import os
import secrets
import string
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from imsg import rights
from imsg_runtime.settings import CALLERS, StartError


def _key() -> str:
    return secrets.token_hex(32)


def _password() -> str:
    """Make a password that needs no escaping in a URL, a shell or a configuration file."""
    return secrets.token_hex(24)


def _read_password() -> str:
    """Make a password that a person can copy."""
    return secrets.token_hex(10)


def _wechat_word() -> str:
    """Make what WeChat calls a secret or a token: at most 32 letters and digits."""
    return secrets.token_hex(16)


def _wechat_key() -> str:
    """Make an EncodingAESKey: 43 characters of base64 without its signs."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(43))


MADE: Mapping[str, Callable[[], str]] = {
    "service_key": _key,
    **{f"{caller.replace('-', '_')}_key": _key for caller in CALLERS},
    "token_key": _key,
    "erasure_key": _key,
    "secret_key": _key,
    "admin_password": _read_password,
    "rabbit_password": _password,
    **{
        f"{service.replace('-', '_')}_{server}_password": _password
        for service in rights.SERVICES
        for server in ("rabbit", "redis")
    },
    "redis_password": _password,
    "postgres_password": _password,
    "auth_db_password": _password,
    "history_db_password": _password,
    "callbacks_db_password": _password,
    "catalog_db_password": _password,
    "wechat_db_password": _password,
    "wechat_secret": _wechat_word,
    "wechat_token": _wechat_word,
    "wechat_aes_key": _wechat_key,
}
"""Every secret there is, and how it is made; a name that is not here is made like a server's password."""


def keep(folder: Path, name: str, group: int | None = None) -> str:
    """Return the secret of this name, making it where it is missing.

    Its file has mode 600, or 640 for `group`. Two that start at once get the same secret. Raises StartError.
    """
    path = folder / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path, MADE.get(name, _password)())
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
    """Make every secret that is missing; return the names of those that were made."""
    made = [name for name in names if not (folder / name).exists()]
    for name in names:
        keep(folder, name, group)
    if group is not None:
        os.chown(folder, -1, group)
        folder.chmod(0o750)
    return made


def _make(path: Path, value: str) -> None:
    """Write a whole file under another name and give it its own, so that nobody ever reads half of it."""
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
