"""mmkg-sdk bench: run and compare, gpu, race, study."""
