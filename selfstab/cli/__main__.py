"""``python -m selfstab.cli`` is the command selfstab."""

from selfstab.cli.main import main

main(prog_name="selfstab")
