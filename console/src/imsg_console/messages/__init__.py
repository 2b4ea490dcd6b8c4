"""What the pages of messages know without showing it: filters, pages, live changes, exports, resending."""
