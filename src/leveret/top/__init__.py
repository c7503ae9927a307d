"""`leveret top`: workers, queues and running tasks, watched live on a terminal, or told once."""
