"""What each modality is worth: the same model trained with and without it, several seeds each, beside baselines."""
