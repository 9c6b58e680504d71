"""Pruners, one file each: which visual tokens are sent to the language model."""
