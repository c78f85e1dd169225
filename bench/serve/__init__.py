"""Measuring engines that run: arms in turn, on the same requests, over HTTP."""
