"""Search: strategies that propose factors, and the plan that chooses by held-out data."""

__all__ = ["growing", "holding_out", "plan", "shrinking"]
