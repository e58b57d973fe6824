"""What is worth a word and no refusal; it never decides who may share.

Each warning says its verdict first and keeps to 120 characters where its values allow: the API server cuts warnings
when all of them together pass 4096. Source: apiserver ``endpoints/filters/warning.go``.
"""

from collections.abc import Iterator

from sharedvip.addresses import canonical
from sharedvip.annotations import LOAD_BALANCER_IP, SHARED_VIP
from sharedvip.model import Denial, ServiceView
from sharedvip.parse import ADDRESS_ANNOTATION_FIELD, ADDRESS_FIELD
from sharedvip.wording import quoted


def warnings(candidate: ServiceView, *, existing: tuple[Denial, ...] = ()) -> tuple[str, ...]:
    """One line each, in a stable order; none while the Service is being deleted.

    Args:
        candidate: The Service as it is to be, admitted or not.
        existing: Violations that this update leaves as they were (``decide.existing_denials``).
    """
    if candidate.is_deleting:
        return ()
    lines = [f"still in conflict, {denial.field}: {denial.problem} [{denial.rule}]" for denial in existing]
    lines += _about_label(candidate)
    if candidate.is_member:
        lines += (*_about_addresses(candidate), *_about_settings(candidate))
    return tuple(lines)


def _about_label(candidate: ServiceView) -> Iterator[str]:
    label, key = candidate.sharing_label, candidate.sharing_key
    if label is None or label == key:
        return
    if key is None:
        yield f"no VIP is shared: {quoted(SHARED_VIP)} is under metadata.labels; put it under metadata.annotations"
    else:
        yield f"label {quoted(SHARED_VIP)} is ignored: it says {quoted(label)}, the annotation says {quoted(key)}"


def _about_addresses(candidate: ServiceView) -> Iterator[str]:
    texts = ((ADDRESS_FIELD, candidate.load_balancer_ip), (ADDRESS_ANNOTATION_FIELD, candidate.address_annotation))
    for field, text in texts:
        if text != canonical(text):
            yield f"not canonical: {field} is {quoted(text)}; write {canonical(text)}"
    if candidate.load_balancer_ip:
        yield f"deprecated by Kubernetes: {ADDRESS_FIELD}; use annotation {quoted(LOAD_BALANCER_IP)}"


def _about_settings(candidate: ServiceView) -> Iterator[str]:
    # Source: shared/design/ako.md 1.4; neither AKO nor our reconciler reads the first two.
    if candidate.session_affinity not in {"", "None"}:
        yield f"without effect on a shared VIP: spec.sessionAffinity {quoted(candidate.session_affinity)}"
    if candidate.has_source_ranges:
        yield "without effect on a shared VIP, all sources are let in: spec.loadBalancerSourceRanges"
    if candidate.external_traffic_policy == "Local":
        yield "without effect where Avi sends straight to pods: spec.externalTrafficPolicy 'Local'"
