"""Job 1: a teacher once over many views of each shape; and what keeps its records."""
