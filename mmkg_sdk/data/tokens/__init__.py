"""Tokens of texts and images: the codebooks, how they are learned, and the files that hold them."""
