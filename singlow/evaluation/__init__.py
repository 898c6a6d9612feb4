"""Evaluation of trained runs: likelihood, migration, conversion and listening tests."""
