"""Programs: expression trees as instructions over rows of numbers."""
