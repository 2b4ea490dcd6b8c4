"""Measurement M: iMSG beside other programs that accept and deliver messages, each run as documented."""
