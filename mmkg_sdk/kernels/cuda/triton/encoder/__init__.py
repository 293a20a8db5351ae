"""MyGO's entities and queries."""
