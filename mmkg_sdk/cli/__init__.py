"""The mmkg-sdk command line."""
