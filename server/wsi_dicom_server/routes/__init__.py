"""One file per API, each exporting `routes`."""
