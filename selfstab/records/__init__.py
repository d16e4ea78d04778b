"""Training runs recorded elsewhere: reading, recording and analysing them.

``sources`` and ``read`` bring a file or arrays into one form, ``analyze`` compares it with the theory. ``recorder`` logs
a training loop, ``callbacks`` do it in other libraries' loops, ``writers`` hand its rows on, ``outputs`` writes datasets.
A new format of recorded runs goes here.
"""
