"""User language: utterances from a seeded grammar over the user state."""
