"""One step of a training, on any device: what goes in, what is computed, what is kept of it."""
