"""Made-up markets that move as real ones do, and real ones drawn anew: for augmentation and for studies
of power."""
