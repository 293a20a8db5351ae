"""From a bundle to answers: one file per task, named after it, and what they answer with."""
