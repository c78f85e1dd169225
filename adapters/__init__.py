"""Glue between latticework and each engine, and the command line. An adapter translates; it holds no algorithm."""
