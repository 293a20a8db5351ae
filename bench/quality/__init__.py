"""What tokens, pictures and texts are worth to a bundle: its metric with fewer of them, worse ones and others."""
