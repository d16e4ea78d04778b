"""The explorer in the browser: a state of the sliders becomes runs, pictures and a script; a local page shows them.

``state`` says what is looked at, ``views`` runs it, ``script`` writes the Python lines that do the same, ``exports``
makes files of it; ``page`` and ``server`` (extra ``explore``) are the page, on this machine only.
A model of the page goes into ``state``, a control into ``controls``.
"""
