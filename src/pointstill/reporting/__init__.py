"""Tables and figures, whoever has something to show."""
