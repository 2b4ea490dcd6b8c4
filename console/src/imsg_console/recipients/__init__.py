"""Recipients and people, read out of what a person types, pastes or uploads."""
