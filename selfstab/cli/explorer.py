"""The command for the explorer: explore."""

from __future__ import annotations

import click


@click.command(short_help="Explore runs and diagrams with sliders, in a browser.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of 127.0.0.1.  [default: a free one]"
)
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page in a browser.")
@click.option(
    "--token",
    envvar="SELFSTAB_EXPLORE_TOKEN",
    help="Secret in the page's address: 16 to 256 letters, digits, - or _. Other users of the machine can read a "
    "command line, but not SELFSTAB_EXPLORE_TOKEN, which sets it, too.  [default: a random one]",
)
@click.option(
    "--limit", type=click.FloatRange(0, min_open=True), default=120.0, show_default=True,
    help="Seconds that a part of a page's work may take.",
)  # fmt: skip
@click.option(
    "--tabs", type=click.IntRange(1, 1000), default=12, show_default=True, help="Most pages open at a time."
)
def explore(port: int, browser: bool, token: str | None, limit: float, tabs: int) -> None:
    """Explore runs and diagrams with sliders, on a page of this machine's own (extra 'explore').

    The page is served on 127.0.0.1 only, to whoever has the token in its address, and fetches nothing from elsewhere.
    The address is printed on the first line.
    """
    from selfstab.explorer import server

    server.serve(port, browser=browser, say=click.echo, token=token, limit=limit, tabs=tabs)
