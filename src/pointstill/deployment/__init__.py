"""Job 4: one file, and what classifies with it."""
