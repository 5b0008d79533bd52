"""Reports as one HTML file that needs no network; names in it are text, never markup."""
