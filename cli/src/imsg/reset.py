"""A new password on the server itself, for whoever can read the data folder or the database."""

import asyncio

import imsg_auth.main
from imsg import all_in_one, valkey
from imsg.api import Refused
from imsg_contract.errors import Refusal
from imsg_runtime.settings import StartError, load, variable


def password(username: str, new: str) -> None:
    """Set it, and end every token of the user. Raises Refused, StartError."""
    asked = load(all_in_one.Settings)
    file = asked.data_dir / "auth.db"
    if not asked.database_url and not file.exists():
        raise StartError(
            f"there are no users here: {file} does not exist, and {variable('data_dir')} may name another folder. "
            f"With containers: docker compose run --rm auth python -m imsg_auth reset-password {username}"
        )
    given = {"database_url": asked.database_url, "data_dir": asked.data_dir}
    given["redis_url"] = asked.redis_url or valkey.find_running(asked.data_dir) or f"unix://{asked.data_dir}/none"
    settings = load(imsg_auth.main.Settings, **given)
    try:
        asyncio.run(imsg_auth.main.reset_password(settings, username, new))
    except Refusal as refusal:
        raise Refused(refusal.answer(english=True)) from refusal
