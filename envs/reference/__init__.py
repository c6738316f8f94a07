"""Ground truth and what is computed from it: optimal slates, planning, counterfactuals."""
