"""What happens when one acts: the Gymnasium market."""
