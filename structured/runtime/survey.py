"""Compiled: what is found out about the states of a lexeme table before any mask is made."""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.runtime.layout import MANY, NONE

#: A state that stays where it is on so many bytes has lexeme masks from the start.
_MIN_LOOP = 24
#: From a state where so many bytes are followed by so many a walk is known to take long.
_MIN_FAN = 40
#: States are compared that have so many byte classes in common.
_MIN_COMMON = 4
#: A character that is rare in names.
_RARE = ord("~")
_QUOTE = ord('"')


@numba.njit(cache=True, nogil=True)
def survey(classes, delta, result, closed, start, fallback, compare):  # type: ignore[no-untyped-def]
    """What :data:`~.layout.TABLE` has of each state.

    Args:
        classes, delta, result, closed, start, fallback: The table's.
        compare: Whether to look for states whose masks are alike.

    Returns:
        ``(few, wide, alike, apart)``. *Wide* are the states that stay where they are on many bytes, those where most
        bytes are followed by most bytes, the one after an opening quote where many follow many, and those that others
        are like.
    """
    states, columns = delta.shape
    widths = np.zeros(columns, np.int32)
    for byte in range(256):
        widths[classes[byte]] += 1
    few = np.zeros((states, 16), np.uint8)
    alive = np.zeros(states, np.int32)
    wide = np.zeros(states, np.uint8)
    for state in range(states):
        live = loop = 0
        for column in range(columns):
            if delta[state, column] != NONE:
                live += widths[column]
                if delta[state, column] == state:
                    loop += widths[column]
        wide[state] = loop >= _MIN_LOOP
        alive[state] = live
        few[state, 0] = live if live < 16 else MANY
        if 0 < live < 16:
            found = 0
            for byte in range(256):
                if delta[state, classes[byte]] != NONE:
                    found += 1
                    few[state, found] = byte
    alike = np.full(states, NONE, np.int32)
    if compare:
        _compare(classes, delta, closed, fallback, alike)
        for state in range(states):
            if alike[state] != NONE:
                wide[alike[state]] = 1
        for state in range(states):
            if wide[state]:
                alike[state] = NONE
    apart = np.zeros((states if compare else 0, 16), np.uint8)
    for state in range(apart.shape[0]):
        if alike[state] != NONE:
            _tell_apart(classes, delta, result, state, alike[state], apart[state])
    opened = delta[start, classes[_QUOTE]]
    if opened != NONE and alike[opened] == NONE and not wide[opened]:
        following = 0
        for byte in range(256):
            target = delta[opened, classes[byte]]
            following += target != NONE and few[target, 0] == MANY
        wide[opened] = following >= _MIN_LOOP
    for state in range(states):
        if alive[state] >= _MIN_FAN and alike[state] == NONE and not wide[state]:
            following = 0
            for column in range(columns):
                target = delta[state, column]
                following += widths[column] if target != NONE and alive[target] >= _MIN_FAN else 0
            wide[state] = following >= _MIN_FAN
    return few, wide, alike, apart


@numba.njit(cache=True, nogil=True)
def _tell_apart(classes, delta, result, state, other, apart):  # type: ignore[no-untyped-def]
    """List the bytes on which two states differ."""
    if result[state] != result[other]:
        apart[0] = MANY
        return
    for byte in range(256):
        if delta[state, classes[byte]] != delta[other, classes[byte]]:
            if apart[0] == 15:
                apart[0] = MANY
                return
            apart[0] += 1
            apart[apart[0]] = byte


@numba.njit(cache=True, nogil=True)
def _compare(classes, delta, closed, fallback, alike):  # type: ignore[no-untyped-def]
    """Find for each state another one that differs on few bytes, from where all grammars want the same.

    That is the fallback. Without one, it is the state to which a character leads that is rare in names, if that one
    stays where it is. Before a key, it is the last state that waits for the same byte: tables of keys have the machine
    of all other keys at their end. What is found only decides how fast a mask is made.
    """
    states, columns = delta.shape
    waiting = np.full(columns, NONE, np.int32)
    for state in range(states - 1, -1, -1):
        live = 0
        only = 0
        for column in range(columns):
            if delta[state, column] != NONE:
                live += 1
                only = column
        if live == 1 and only == classes[_QUOTE]:
            if waiting[only] == NONE:
                waiting[only] = state
            else:
                alike[state] = waiting[only]
        other = fallback if fallback != NONE else delta[state, classes[_RARE]]
        if other in (NONE, state) or closed[state]:
            continue
        common = 0
        for column in range(columns):
            common += delta[state, column] != NONE and delta[state, column] == delta[other, column]
        if common >= _MIN_COMMON:
            alike[state] = other
