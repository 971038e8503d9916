"""Sphinx configuration."""

project = "pointstill"
author = "The pointstill authors"
copyright = "2026, The pointstill authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "pointstill"
exclude_patterns = ["_build"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
myst_heading_anchors = 3
