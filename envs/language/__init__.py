"""What users say: seeded phrasings grounded in their state."""
