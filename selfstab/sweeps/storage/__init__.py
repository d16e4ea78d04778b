"""Sweeps on disk, safe against being killed.

``store`` writes and checks, ``layout`` names the files and what is in them, ``settings`` turns a plan into text
and back. A new backend is a new file beside ``store`` that keeps the protocol ``Results`` of the plan.
"""
