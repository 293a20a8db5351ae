"""MKGformer's link prediction: prompts with a mask, and entities as words."""
