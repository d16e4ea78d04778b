"""Training runs recorded elsewhere: reading, recording and analysing them.

``sources`` and ``read`` bring a file or arrays into one form, ``analyze`` holds it against the theory,
``recorder`` logs a training loop, ``callbacks`` do so in other libraries' loops, ``writers`` hand its rows on,
``outputs`` writes datasets. A new format of recorded runs goes here.
"""
