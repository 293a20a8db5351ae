"""The benchmark of a bundle: its encoders against token count, and how fast it answers questions."""
