"""What data hold and what is odd about them: numbers, modalities, remarks."""
