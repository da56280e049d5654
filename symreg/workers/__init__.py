"""Workers: executors of pure tasks, on this machine and on clusters."""
