"""What people wrote back."""
