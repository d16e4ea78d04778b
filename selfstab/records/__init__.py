"""Training runs recorded elsewhere: reading, recording and analysing them.

``formats`` reads a file or arrays into a table, ``columns`` finds what its columns mean, and ``read`` puts its rows in
order. ``comparison`` compares the run with the theory. ``recording`` logs a training loop, ``callbacks`` do it in other
libraries' loops, and ``outputs`` writes datasets. A new format of recorded runs is a file in ``formats``.
"""
