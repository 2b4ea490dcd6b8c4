"""What is known of an address before anything is sent to it: erasures and suppressions."""
