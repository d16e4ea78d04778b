"""Many runs of a loss."""
