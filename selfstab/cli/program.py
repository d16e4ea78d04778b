"""The command line: simulate, sweep, analyze, verify, explore, figure, reproduce, derive, bench.

Every import that costs time is inside the command that needs it, so that ``--help`` is quick.
"""

from __future__ import annotations

import click

from selfstab import __version__
from selfstab.cli import companions, explorer, predictions, records, runs, sweeps
from selfstab.cli.errors import OneLine

COMPLETION = """After this line the tab key completes commands and options:

\b
  bash  eval "$(_SELFSTAB_COMPLETE=bash_source selfstab)"
  zsh   eval "$(_SELFSTAB_COMPLETE=zsh_source selfstab)"
  fish  _SELFSTAB_COMPLETE=fish_source selfstab | source
"""


@click.group(
    cls=OneLine,
    epilog=COMPLETION,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="selfstab")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Momentum at large learning rates: self-stabilization, catapults and the edge of stability."""


for command in (
    runs.simulate, sweeps.sweep, records.analyze, predictions.verify, explorer.explore, *companions.COMMANDS,
):  # fmt: skip
    main.add_command(command)
