"""Thousands of damaged and hostile inputs, each in a forked worker with limits: `make fuzz`."""
