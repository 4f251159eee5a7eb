"""One file per kind of basis at a site."""
