"""Figures of datasets: draw_*(data, ax=None); nothing here simulates."""
