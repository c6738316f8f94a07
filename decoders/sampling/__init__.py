"""Sampling: noise, probabilities, draft trees and verification rules."""
