"""The first free address, found without looking at all."""

from hypothesis import given
from hypothesis import strategies as st

from simulator.settings import Settings, Subnet
from simulator.vacancies import Vacancies
from tests.contracts.client import path_of, unique
from tests.simulator.desk import PASSWORD, desk

STEPS = st.lists(st.tuples(st.sampled_from(["take", "hold", "free"]), st.integers(0, 9)), max_size=60)


@given(steps=STEPS, taken=st.sets(st.integers(0, 9), max_size=3))
def test_it_finds_what_a_search_from_the_beginning_finds(steps: list[tuple[str, int]], taken: set[int]) -> None:
    """Whatever was taken, held by hand and freed before, and whatever is promised now."""
    it, held = Vacancies(0, 9), set[int]()
    for verb, value in steps:
        if verb == "free":
            held.discard(value)
            it.release(value)
        elif verb == "hold":
            held.add(value)
        else:
            lowest = it.lowest(is_held=held.__contains__, is_taken=lambda _: False)
            held |= {lowest} if lowest is not None else set()
    found = it.lowest(is_held=held.__contains__, is_taken=taken.__contains__)

    assert found == min(set(range(10)) - held - taken, default=None)


def test_addresses_that_come_back_are_given_first() -> None:
    """In their order, also after a refused macro and in IPv6."""
    it = desk(Settings(password=PASSWORD, subnets=(Subnet("net1", "10.0.0.0/24"), Subnet("net1", "2001:db8::/64"))))

    def made() -> tuple[str, dict[str, object]]:
        body = {
            "name": unique("v"),
            "vip": [{"vip_id": "0", "auto_allocate_ip": True, "auto_allocate_ip_type": "V4_V6"}],
        }
        one = it.client.made("vsvip", body)
        vip = one["vip"][0]
        return f"{vip['ip_address']['addr']} {vip['ip6_address']['addr']}", one

    first, second, third = made(), made(), made()
    it.client.delete(path_of(second[1]))
    it.client.delete(path_of(first[1]))

    assert [one[0] for one in (first, second, third)] == [f"10.0.0.{n} 2001:db8::{n}" for n in (1, 2, 3)]
    assert [made()[0] for _ in range(3)] == [f"10.0.0.{n} 2001:db8::{n}" for n in (1, 2, 4)]
