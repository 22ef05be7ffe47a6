"""What sioserver costs, by itself and against its peers; README.md says how each is measured."""
