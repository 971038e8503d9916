"""How results look, whoever has some: tables, figures, pages. Nothing here knows what they mean."""
