"""The web page of iMSG: people log in, send, look and administer; it speaks the public API only."""
