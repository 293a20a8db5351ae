"""Image files, opened with care, and the paths that name them."""
