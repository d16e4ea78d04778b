"""The explorer in the browser: a state of the sliders becomes runs, pictures and a script; a local page shows them.

``state`` says what is looked at, ``views`` runs it, ``script`` writes the Python lines that do the same, ``exports``
makes files of it; ``page`` and ``server`` (extra ``explore``) are the page, on this machine only.
``process`` is what works for a tab, ``tasks`` what it is asked; ``handlers`` answers requests, ``messages`` says which
messages of a page are read. A model of the page goes into ``setups``, a control into ``controls``; one of another kind
than those there also into ``messages``.
"""
