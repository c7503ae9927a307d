"""`python -m bench.tasks`: see `bench.tasks.run`."""

from bench.tasks.run import main

raise SystemExit(main())
