"""The layout of a store: its examples."""
