"""The language-model recommender: retrieve, ask, read, repair or fall back."""
