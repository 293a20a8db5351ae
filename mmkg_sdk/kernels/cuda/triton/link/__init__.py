"""MIMIC's scores of mentions and entities."""
