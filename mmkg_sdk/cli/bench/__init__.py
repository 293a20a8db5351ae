"""mmkg-sdk bench: run and compare, race, study."""
