"""Sampling: noise, probabilities, draft trees and the verification rules."""
