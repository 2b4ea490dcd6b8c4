"""Measures iMSG from outside: beside its floors, beside a peer, on this machine, in one run."""
