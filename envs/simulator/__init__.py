"""The simulator: users, scenarios, choices, turns and sessions, and what agents observe."""
