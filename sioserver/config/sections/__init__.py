"""The tables of the configuration, a module for each family: what there is to set."""
