"""Budgets are not charged for what numba compiles."""

import time

import numba

from latticework.structured import clock


def test_the_clock_stands_still_while_a_kernel_is_compiled():
    @numba.njit
    def kernel(n):
        total = 0
        for i in range(n):
            total += i * i
        return total

    wall, ours = time.monotonic(), clock.now()
    assert kernel(3) == 5
    wall, ours = time.monotonic() - wall, clock.now() - ours
    assert ours < wall / 2, f"{ours:.3f} s of {wall:.3f} s were charged"


def test_the_clock_goes_on_otherwise():
    before = clock.now()
    time.sleep(0.05)
    assert clock.now() - before >= 0.045


def test_slowness_is_measured_once_and_bounded():
    assert 1.0 <= clock.slowness() <= 4.0
    assert clock.slowness() == clock.slowness()
