"""What runs the cells of a sweep."""
