"""Passwords that are tried first by whoever guesses: such an administrator's is refused."""

from imsg_runtime.settings import StartError, variable

GUESSED_EARLY = 3
"""zxcvbn's scores below this fall to fewer than 10^8 guesses: lists of common passwords, names, dates, and their usual
disguises (Wheeler, USENIX Security 2016)."""

READ_CHARACTERS = 72
"""How much of a password zxcvbn is given: its work grows with the length, and so much can't be common."""

OURS = ("admin", "administrator", "imsg", "gateway", "tiancun", "天存", "管理员", "密码")


def refuse_common(password: str) -> None:
    """Refuse an administrator's password that is guessed early. Raises StartError, which does not print it."""
    from zxcvbn import zxcvbn  # noqa: PLC0415  12 MiB of words, for who has such a password set and starts exposed

    if zxcvbn(password[:READ_CHARACTERS], user_inputs=OURS)["score"] >= GUESSED_EARLY:
        return
    name = variable("admin_password")
    raise StartError(
        f"{name} is a common password, which is guessed early; give it what `openssl rand -hex 12` makes. Where the "
        f"administrator has it already, change it by `imsg users reset-password admin` too, and {name} may be unset."
    )
