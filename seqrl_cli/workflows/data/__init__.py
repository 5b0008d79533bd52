"""Commands for datasets: download, discretize, collect, export, measure reference scores."""
