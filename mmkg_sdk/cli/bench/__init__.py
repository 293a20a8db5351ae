"""mmkg-sdk bench: run and compare, gpu, quality, race, study."""
