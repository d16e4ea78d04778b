"""The compiled loops: their text is generated, hashed, compiled once and cached on disk.

``writer`` and the templates write the text, ``samples`` that of means over data. ``modules`` and ``cache_files``
compile and keep it, ``elementary`` and ``arithmetic`` are the functions it calls. A new measure of a sweep goes into
``measures``; text that exists keeps its bytes, since stores hold its hash.
"""
