"""Normal forms of e-mail addresses, phone numbers and WeChat tags."""
