"""What several features know of messages: filters, statuses, contents, resending."""
