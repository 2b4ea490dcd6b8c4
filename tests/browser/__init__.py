"""The tests of this folder are a package, so that what they share ends with the last of them."""
