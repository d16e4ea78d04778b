"""What runs the cells of a sweep.

``lanes`` runs formulas in compiled blocks, and ``cells`` any loss a cell at a time in processes. ``cluster`` spreads
blocks to Dask's workers. ``pool`` holds threads and the bar. A new runner is a new file that keeps the protocol
``Runner`` of the plan.
"""
