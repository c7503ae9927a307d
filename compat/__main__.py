"""`python -m compat`: see `compat.run`."""

from compat.run import main

raise SystemExit(main())
