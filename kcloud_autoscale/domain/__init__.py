"""Nouns of the field as frozen dataclasses."""
