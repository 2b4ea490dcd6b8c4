"""Bootstrap: the first accounts, and the refusal of documented passwords where iMSG is exposed."""

import os
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from imsg_auth.passwords import Passwords
from imsg_auth.rows.users import DEFAULT_QUOTAS, User
from imsg_auth.store import Store
from imsg_auth.tokens import new_epoch
from imsg_auth.usernames import DOCUMENTED, MAX_PASSWORD, MIN_PASSWORD
from imsg_contract.ids import new_id
from imsg_contract.roles import Role
from imsg_runtime.logs import logger
from imsg_runtime.settings import StartError, variable

log = logger(__name__)

ADMINISTRATOR = "admin"
PASSWORD_FILE = "admin-password"  # noqa: S105  a file's name
GENERATED_BYTES = 15


class Bootstrap:
    """Creates the first accounts."""

    def __init__(
        self,
        store: Store,
        passwords: Passwords,
        *,
        exposure: str,
        admin_password: str | None,
        folder: Path,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`exposure` names the setting by which others can reach iMSG; empty: only this machine can.

        `folder` holds a generated password of the administrator.
        """
        self._store = store
        self._passwords = passwords
        self._exposure = exposure
        self._admin_password = admin_password
        self._folder = folder
        self._now = now

    async def create_first(self) -> None:
        """Create the first accounts if there are no users; several processes may start at once.

        These are the documented accounts where only this machine reaches iMSG, else one administrator.
        Raises StartError for an invalid password in the settings, or a folder that can't be written.
        """
        async with self._store.writing() as rows:
            await rows.lock_table()
            if await rows.has_users():
                return
            for username, password in self._choose_accounts().items():
                role: Role = "admin" if username == ADMINISTRATOR else "user"
                await rows.add_user(self._make_user(username, role, await self._passwords.hash(password)))
        log.info("first_accounts_made", documented=not self._exposure)

    async def refuse_documented(self) -> None:
        """Refuse to start where exposed while a password that the documentation prints works. Raises StartError."""
        if not self._exposure:
            return
        for username in DOCUMENTED:
            async with self._store.reading() as rows:
                user = await rows.find_user(username)
            for password in set(DOCUMENTED.values()):
                if user is not None and await self._passwords.matches(user.password, password):
                    raise StartError(
                        "the user {0} still has a password that is printed in the documentation, and {1}; give "
                        "them another with `imsg users reset-password {2}`.",
                        username,
                        self._exposure,
                        username,
                    )

    def _choose_accounts(self) -> dict[str, str]:
        if self._admin_password is not None:
            _require_length(self._admin_password)
        if not self._exposure:
            return dict(DOCUMENTED)
        return {ADMINISTRATOR: self._admin_password or self._read_or_create_password()}

    def _read_or_create_password(self) -> str:
        """Read the generated password, or generate it. Raises StartError."""
        path = self._folder / PASSWORD_FILE
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if path.is_file() and (password := path.read_text().strip()):
                return password
            password = secrets.token_urlsafe(GENERATED_BYTES)
            _write_file(path, password)
        except OSError as error:
            raise StartError(
                "the administrator's password can't be kept in {0} ({1}); set {2}, or a {3} that can be written.",
                path,
                error.strerror,
                variable("admin_password"),
                variable("data_dir"),
            ) from error
        log.info("administrator_password_made", username=ADMINISTRATOR, file=str(path))
        return password

    def _make_user(self, username: str, role: Role, hashed: str) -> User:
        at = self._now()
        return User(
            id=new_id(at),
            username=username,
            password=hashed,
            role=role,
            available=True,
            quotas=DEFAULT_QUOTAS,
            phone=None,
            email=None,
            wechat=None,
            epoch=new_epoch(),
            created_at=datetime.fromtimestamp(at, UTC),
        )


def _require_length(password: str) -> None:
    name = variable("admin_password")
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD or "\0" in password:
        raise StartError("{0} must have {1} to {2} characters.", name, MIN_PASSWORD, MAX_PASSWORD)


def _write_file(path: Path, password: str) -> None:
    """Write a file of mode 600 atomically."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
