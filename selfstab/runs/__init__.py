"""One run of a loss: its problem, its states and its dataset.

``problem`` is the validated request, ``states`` yields the states, ``simulate`` records them, ``dataset`` names
what was recorded. A new variable of a run goes into the table in ``dataset``, with its unit.
"""
