"""What a frame is: stages, names, units, rules, seed frames."""
