"""Whose text a drafter may learn from: what a request asks for, what the engine knows of its sender, as one scope.

Nothing here trusts what a request claims of its sender: a tenant is known by the cache salt that came with the request,
as for the engines' own prefix caches, or by the deployment's settings. Imports nothing heavy: front ends use it.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

#: The request option.
SCOPE_OPTION = "lw_drafter_scope"


class Scope(StrEnum):
    """Which requests learn from one another."""

    REQUEST = "request"
    TENANT = "tenant"
    SCHEMA = "schema"
    GLOBAL = "global"


def tenant_of_salt(salt: str | None) -> str | None:
    """Who sent a request, by its cache salt; ``None`` without one. The salt is a secret and cannot be read off."""
    return f"salt {_digest(salt)}" if salt else None


def scope_of(kind: Scope, tenant: str | None, configured: str, constraint: str) -> str | None:
    """The scope of a request, ``None`` where it may learn from itself alone.

    Args:
        kind: What was asked for. Where no tenant is known, a tenant's scope and a schema's are the request's own.
        tenant: As :func:`tenant_of_salt` says.
        configured: Whom the deployment serves, if all requests without a salt are one tenant's; else empty.
        constraint: The request's constraint as text, empty if it has none.
    """
    if kind is Scope.GLOBAL:
        return Scope.GLOBAL.value
    tenant = tenant or (f"name {configured}" if configured else None)
    if kind is Scope.REQUEST or tenant is None:
        return None
    return f"{kind} {_digest(constraint)} {tenant}" if kind is Scope.SCHEMA else f"{kind} {tenant}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
