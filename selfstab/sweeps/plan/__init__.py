"""What a sweep runs: its axes, its cells, and how they are cut into blocks.

Nothing here runs a cell. ``protocols`` says what a runner and what a receiver of results must offer: a new one of
either starts there. A new axis goes into ``plan``.
"""
