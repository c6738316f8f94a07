"""What is run: tasks, lives, records, reports."""
