"""What every class that answers gives back."""
