"""What is minimized: the contract of a loss, and the losses."""
