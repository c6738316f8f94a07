"""Hidden-seed play: key derivation, attempts, messages, the reference client, and scoring."""
