"""All rules, in the order in which refusals are reported; a rule never knows another rule."""

from typing import Protocol

from sharedvip.model import Denial, ServiceView, Situation
from sharedvip.rules import (
    class_mismatch,
    duplicate_port,
    infra_mismatch,
    intended_address_unfit,
    invalid_key,
    not_load_balancer,
    static_address_invalid,
    static_address_mismatch,
    static_address_taken,
    vip_in_use_elsewhere,
)


class Rule(Protocol):
    """A module of this package: one rule."""

    @property
    def ID(self) -> str:  # noqa: N802 - a module's constant, seen as an attribute
        """Kebab-case, never renamed, never reused."""
        ...

    def check(self, candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
        """The candidate's violations of this rule, in a stable order, for a candidate that carries the annotation."""
        ...


RULES: tuple[Rule, ...] = (
    # Whether it can be in a group at all,
    not_load_balancer,
    invalid_key,
    # then what it brings,
    duplicate_port,
    # then where the group is,
    static_address_invalid,
    static_address_mismatch,
    vip_in_use_elsewhere,
    intended_address_unfit,
    static_address_taken,
    # then how the group is built.
    class_mismatch,
    infra_mismatch,
)
