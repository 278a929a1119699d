"""Who decides: rules and learned policies behind one contract."""
