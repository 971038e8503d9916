"""Job 3: how good a model is, and what it costs."""
