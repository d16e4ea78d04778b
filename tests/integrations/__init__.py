"""Tests with the real libraries that people train with: ``make test-integrations`` installs and runs them."""
