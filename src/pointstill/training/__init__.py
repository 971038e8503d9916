"""Job 2: a student from records and clouds, or a model from labels; no teacher in memory."""
