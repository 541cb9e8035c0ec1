"""`make bench`: this project beside what people use instead, on one machine, in one run, in turn."""
