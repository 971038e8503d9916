"""Classify files of clouds: one or thousands, over processes, as rows for people or programs."""
