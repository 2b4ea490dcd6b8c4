"""Followers: who follows the official accounts, by which tag, and whose contact they are."""
