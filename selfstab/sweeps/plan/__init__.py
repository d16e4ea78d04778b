"""What a sweep runs, and how it is cut."""
