"""Trajectories that stand in for a run: flows, constrained and predicted ones."""
