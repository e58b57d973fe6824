"""A Service that leaves its group: the words of ``test_leaving``, ``test_about_to_leave`` and ``test_left``."""

from dataclasses import replace
from typing import Unpack

from cluster.ip_addresses import AddressLocks
from cluster.leavers import Leaver
from sharedvip.annotations import SHARED_VIP
from sharedvip.model import ServiceView
from tests.builders import KEY, ServiceFields
from tests.cluster.connection import Connection
from tests.webhook.replicas import Scene
from webhook.view import Asked


def leaving(old: ServiceView, **fields: Unpack[ServiceFields]) -> Asked:
    """The same Service without the annotation."""
    return Asked(replace(old, sharing_key=None, **fields), old)


async def last(scene: Scene, name: str, address: str, *, key: str = KEY) -> ServiceView:
    """The only member of its group, with the address and its lock."""
    view = await scene.settled(name, "80/TCP", key=key, loadBalancerIP=address)
    assert await AddressLocks(scene.api).take(address, scene.group(key)) is None
    return view


async def left(connection: Connection, name: str) -> None:
    """The update without the annotation is stored."""
    patch = f'-p={{"metadata":{{"annotations":{{"{SHARED_VIP}":null}}}}}}'
    await connection.kubectl_async("patch", "service", name, "--type=merge", patch)


async def nobody(leavers: tuple[Leaver, ...]) -> bool:
    """Needs the lock."""
    del leavers
    return False
