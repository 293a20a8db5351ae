"""Files as the SDK reads and writes them: atomic, strict, bounded; nothing here knows what they are for."""
