"""The worker loop: take, split, expire, deliver, record, settle."""

from imsg_shared.worker.loop import Pace, Worker

__all__ = ["Pace", "Worker"]
