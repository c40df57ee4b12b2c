"""From a cohort to a trained and described bundle."""
