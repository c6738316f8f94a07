"""Ground truth and computations on it: optimal slates, planning, counterfactual episodes."""
