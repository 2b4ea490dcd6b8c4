"""`imsg users reset-password`: a new password, written to the database without a token."""

import asyncio

import imsg_auth.main
from imsg import all_in_one, valkey
from imsg.api import Refused
from imsg_contract.errors import Refusal
from imsg_runtime.settings import StartError, load, variable


def reset_password(username: str, password: str) -> None:
    """Set the password, and end every token of the user. Raises Refused, StartError."""
    own = load(all_in_one.Settings)
    file = own.data_dir / "auth.db"
    if not own.database_url and not file.exists():
        raise StartError(
            "there are no users here: {0} does not exist, and {1} may name another folder. With "
            "containers: docker compose run --rm auth python -m imsg_auth reset-password {2}",
            file,
            variable("data_dir"),
            username,
        )
    values = {"database_url": own.database_url, "data_dir": own.data_dir}
    values["redis_url"] = own.redis_url or valkey.find_running(own.data_dir) or f"unix://{own.data_dir}/none"
    settings = load(imsg_auth.main.Settings, **values)
    try:
        asyncio.run(imsg_auth.main.reset_password(settings, username, password))
    except Refusal as refusal:
        raise Refused(refusal.answer(english=True)) from refusal
