"""Training runs recorded elsewhere: reading, recording and analysing them.

``formats`` and ``read`` bring a file or arrays into one form, ``analyze`` compares it with the theory. ``recorder``
logs a training loop, ``callbacks`` do it in other libraries' loops, ``writers`` hand its rows on, and ``outputs``
writes datasets. A new format of recorded runs is a file in ``formats``.
"""
