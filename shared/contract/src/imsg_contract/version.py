"""The version of iMSG. It is written here only: the wheel, the client and the manifests follow by `make generate`."""

VERSION = "1.0.0"
"""PEP 440. The packages of the workspace have version 0: none of them is released by itself."""
