"""Pages and figures in a folder: the report of everything, and that of one recorded run.

``reproduce`` makes the figures and the table of predictions, and ``parts`` reuses what is finished. ``analysis`` is
the page of a recorded run, and ``pages`` holds the templates. A new page is a new file with its template in ``pages``.
"""
