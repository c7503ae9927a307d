"""What is known of workers, queues and tasks from their events: kept for `leveret top` and the dashboard, drawn by neither here."""
