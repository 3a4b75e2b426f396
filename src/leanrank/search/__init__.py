"""Search: strategies that propose factors, and the plan that chooses by held-out data."""
