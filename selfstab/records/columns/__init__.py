"""What the columns of a recorded run mean: names, roles, settings and what is missing."""
