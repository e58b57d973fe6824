"""What holds for every verdict, whatever the Services: order, symmetry, and the four update permissions."""

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from sharedvip.decide import decide, new_denials, relevant_change
from sharedvip.ledger import group_of
from sharedvip.model import ServiceView, Situation
from tests.builders import GROUP, NAMESPACE, lines
from tests.strategies import members, services, situations

PAIRS = st.tuples(services(with_name=st.just("web")), services(with_name=st.just("web")))


def identities(candidate: ServiceView, met: Situation) -> set[tuple[str, str]]:
    """What is wrong with a candidate, as rule and subject."""
    return {(denial.rule, denial.subject) for denial in decide(candidate, met)}


def judged_against(candidate: ServiceView, stored: list[ServiceView]) -> list[str]:
    """The refusal of a candidate of the seed's group in a world without a ledger."""
    return lines(decide(candidate, Situation(group_of(GROUP, ledger=None, services=stored, candidate=candidate))))


# --- the verdict


@given(st.data(), services(), situations)
def test_the_verdict_does_not_depend_on_the_order_of_peers_or_holders(
    data: st.DataObject, candidate: ServiceView, met: Situation
) -> None:
    """AKO's does: by order of the last event."""
    shuffled = replace(
        met,
        group=replace(met.group, peers=tuple(data.draw(st.permutations(met.group.peers)))),
        address_holders=tuple(data.draw(st.permutations(met.address_holders))),
    )

    assert lines(decide(candidate, met)) == lines(decide(candidate, shuffled))


@given(st.data(), members(), st.lists(members(), max_size=4, unique_by=lambda s: s.name))
def test_the_verdict_does_not_depend_on_the_order_of_services(
    data: st.DataObject, candidate: ServiceView, stored: list[ServiceView]
) -> None:
    """A cache has no order worth telling."""
    assert judged_against(candidate, stored) == judged_against(candidate, data.draw(st.permutations(stored)))


@given(members())
def test_a_service_never_conflicts_with_itself(candidate: ServiceView) -> None:
    """Neither with its stored self nor with a namesake that it replaces."""
    assert judged_against(candidate, [candidate, replace(candidate, uid="predecessor")]) == []


@given(members(with_name=st.just("one")), members(with_name=st.just("other")))
def test_sharing_is_symmetric(one: ServiceView, other: ServiceView) -> None:
    """Of two that cannot share, either is refused, whichever comes second."""
    assert bool(judged_against(one, [other])) == bool(judged_against(other, [one]))


@given(members(with_name=st.just("one")), members(with_name=st.just("other")))
def test_two_that_may_share_have_no_listener_in_common_and_one_address(one: ServiceView, other: ServiceView) -> None:
    """The rules' whole purpose, said without the rules."""
    if not judged_against(one, [other]):
        assert not set(one.listeners) & set(other.listeners)
        assert one.load_balancer_ip == other.load_balancer_ip


@given(services(), situations)
def test_every_denial_is_one_complete_line(candidate: ServiceView, met: Situation) -> None:
    """Field, problem, remedy and subject are never empty, and nothing breaks the line."""
    for denial in decide(candidate, met):
        assert all((denial.rule, denial.field, denial.problem, denial.remedy, denial.subject))
        assert str(denial).isprintable()


@given(services(), situations)
def test_no_violation_is_told_twice(candidate: ServiceView, met: Situation) -> None:
    """One subject, one line; only a port named three times says the same of its third entry."""
    told = [(d.rule, d.subject) for d in decide(candidate, met) if not d.subject.endswith(" twice")]

    assert len(told) == len(set(told))


@given(services(), situations)
def test_no_denial_names_another_namespace(candidate: ServiceView, met: Situation) -> None:
    """What others hold is not the asker's to know."""
    assert candidate.name.namespace == NAMESPACE
    assert "secret-team" not in repr(decide(candidate, met))


# --- what an update may always do


@given(PAIRS, situations)
def test_permission_1_anything_while_it_is_being_deleted(pair: tuple[ServiceView, ServiceView], met: Situation) -> None:
    """Finalizers must come off."""
    old, candidate = pair

    assert new_denials(replace(candidate, is_deleting=True), old=old, situation=met) == ()


@given(PAIRS, situations)
def test_permission_2_anything_that_no_rule_looks_at(pair: tuple[ServiceView, ServiceView], met: Situation) -> None:
    """Even if the group is in conflict."""
    old, other = pair
    candidate = replace(
        old,
        sharing_label="x",
        vips=other.vips,
        session_affinity="ClientIP",
        has_ready_condition=True,
        ports=tuple(replace(port, name="renamed", target_port=9) for port in old.ports),
    )

    assert not relevant_change(old, candidate)
    assert new_denials(candidate, old=old, situation=met) == ()


@given(PAIRS, situations)
def test_permission_3_anything_that_only_shrinks_the_violations(
    pair: tuple[ServiceView, ServiceView], met: Situation
) -> None:
    """Refused is exactly what the old Service did not have already."""
    old, candidate = pair
    assume((old.group, old.is_member) == (candidate.group, candidate.is_member))

    refused = {(d.rule, d.subject) for d in new_denials(candidate, old=old, situation=met)}

    assert refused == identities(candidate, met) - identities(old, met)


@given(PAIRS, situations)
def test_permission_4_who_arrives_is_a_new_member(pair: tuple[ServiceView, ServiceView], met: Situation) -> None:
    """Moving, joining and becoming a LoadBalancer are judged like a create; leaving is free."""
    old, candidate = pair
    assume((old.group, old.is_member) != (candidate.group, candidate.is_member))

    assert new_denials(candidate, old=old, situation=met) == decide(candidate, met)
    assert new_denials(replace(candidate, sharing_key=None), old=old, situation=met) == ()
