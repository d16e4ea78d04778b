"""What every loss is and has."""
