"""The llm agent: retrieval proposes candidates, a language model picks a slate in JSON."""
