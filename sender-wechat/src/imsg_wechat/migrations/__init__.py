"""The steps by which the followers' tables came to be what it is; the missing ones run at every start."""

from pathlib import Path

from imsg_database.migrate import Steps

STEPS = Steps(folder=Path(__file__).with_name("versions"), versions="wechat_version", head="0003")
