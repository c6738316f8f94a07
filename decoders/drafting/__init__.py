"""What `exact-dynamic` guesses with: sources, their chances, the tree, what it costs."""
