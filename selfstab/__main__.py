"""python -m selfstab: the command line."""

from selfstab.cli.program import main

if __name__ == "__main__":
    main()
