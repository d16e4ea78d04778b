"""Files and folders: written whole, opened without following links, and read up to a size."""
