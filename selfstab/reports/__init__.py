"""Pages and figures in a folder."""
