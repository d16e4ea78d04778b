"""What runs the cells of a sweep.

``lanes`` runs formulas in compiled blocks, ``cells`` any loss a cell at a time in processes, ``cluster`` spreads
blocks over Dask's workers, and ``pool`` holds threads and the bar. A new runner is a new file that keeps the
protocol ``Runner`` of the plan.
"""
