"""Fits and their judgement."""
