"""What two iMSG processes must agree on: the wire, the broker, the worker loop, the frame of a service."""
