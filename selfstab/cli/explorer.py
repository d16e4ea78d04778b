"""The command for the explorer: explore."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of 127.0.0.1.  [default: a free one]"
)
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page in a browser.")
def explore(port: int, browser: bool) -> None:
    """Explore runs and diagrams with sliders, on a page of this machine's own (extra 'explore').

    The page is served on 127.0.0.1 only, and fetches nothing from elsewhere.
    """
    from selfstab.explorer import server

    server.serve(port, browser=browser, say=click.echo)
