"""``python -m selfstab.cli`` is the command selfstab."""

from selfstab.cli.program import main

main(prog_name="selfstab")
