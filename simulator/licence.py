"""What the licence tiers below Enterprise refuse; it looks only at the body as sent."""

from collections.abc import Iterator
from typing import Final

from simulator.documents import Document, message, messages, text
from simulator.refusals import RefusedError
from simulator.settings import ENTERPRISE_TIERS

ESSENTIALS_PROFILE: Final = "System-TCP-Fast-Path"
"""The default network profile where TCP proxy is not licensed. Source: avi.md 3; that the default moves is assumed."""


def check(path: str, body: Document, *, tier: str) -> None:
    """Refuse a field that the tier lacks.

    Source: avi.md 2.5 for the two texts [DOC], status 400 [INF]; avi.md 3 for the fields (*Ent*) [SW 30.2.1].
    """
    if tier in ENTERPRISE_TIERS:
        return
    refused = next(_refused(path, body, tier=tier), None)
    if refused is not None:
        raise RefusedError(400, f"Field {refused.format(tier=tier)}")


def _refused(path: str, body: Document, *, tier: str) -> Iterator[str]:
    if path == "virtualservice":
        yield from _of_virtual_service(body)
    elif path == "l4policyset":
        yield from _of_rules(messages(message(body.get("l4_connection_policy")).get("rules")))
    elif path == "networkprofile" and tier == "ESSENTIALS":
        yield from _of_profile(message(body.get("profile")))


def _of_virtual_service(body: Document) -> Iterator[str]:
    if body.get("service_pool_select"):
        yield "VirtualService.service_pool_select cannot be set in {tier} license tier."
    if body.get("enable_rhi") is True:
        yield _true("VirtualService.enable_rhi")
    for service in messages(body.get("services")):
        for field in ("override_network_profile_ref", "override_application_profile_ref"):
            if service.get(field):
                yield f"Service.{field} cannot be set in {{tier}} license tier."
        if service.get("enable_http2") is True:
            yield _true("Service.enable_http2")


def _of_rules(rules: list[Document]) -> Iterator[str]:
    for rule in rules:
        for field in ("client_ip", "protocol"):
            if message(rule.get("match")).get(field):
                yield f"L4RuleMatchTarget.{field} cannot be set in {{tier}} license tier."
        if text(message(message(rule.get("action")).get("select_pool")).get("action_type")).endswith("POOLGROUP"):
            yield "L4RuleActionSelectPool.action_type cannot be L4_RULE_ACTION_SELECT_POOLGROUP in {tier} license tier."


def _of_profile(profile: Document) -> Iterator[str]:
    if profile.get("type") == "PROTOCOL_TYPE_TCP_PROXY":
        yield "NetworkProfileUnion.type cannot be PROTOCOL_TYPE_TCP_PROXY in {tier} license tier."


def _true(field: str) -> str:
    return f"{field} cannot have True as its value in {{tier}} license tier. Allowed value: False."
