"""Draft-token sources, calibration, planning and cost profiles of `exact-dynamic`; decision models.

candidate_sources  candidates of all sources for the positions of one text
copy_index         source "copy": what followed earlier occurrences of the last tokens
recycling          source "recycled": successors that the target predicted in earlier passes
candidate_probs    probability of each candidate, from how it was found
calibration        acceptance rates by kind of candidate: a prior, updated by the text
draft_passes       source "draft": the draft model's passes in one round
tree_planner       the loop of one round: when to run the draft model, and what to submit
tree_builder       the tree of candidates, grown likeliest first
expected_rate      expected tokens per second of a tree or a chain
planned_text       state of one text: its sources and the costs of passes
cost_profile       costs of passes by their rows, as a fixed table
stored_profiles    the profile of a pair: stored, measured or estimated
cost_measurement   measurement of a profile on this machine
decision_model     networks with which `target-init-dynamic` stops drafting
"""
