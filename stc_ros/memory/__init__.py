"""Memories, one file each: what the language model keeps of the past."""
