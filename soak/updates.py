"""What an update may always do, and what users' tools do every day; each step is one sentence with its verdict."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from localcluster.waiting import DeadlinePassed, wait_until
from sharedvip.annotations import LOAD_BALANCER_IP, SHARED_VIP
from soak.arena import Manifest, member, ports_patch
from soak.result import Result
from soak.rig import REPLICAS, Rig

_WAIT_SECONDS: Final = 20.0
_ADDRESS: Final = "10.127.0.1"


@dataclass(frozen=True, slots=True)
class Desk:
    """A person with kubectl in one namespace."""

    rig: Rig
    namespace: str
    result: Result

    def kubectl(self, *words: str, given: Manifest | None = None, editor: str = "") -> tuple[int, str]:
        """Exit code and all that was said."""
        text = None if given is None else json.dumps(given)
        done = self.rig.cluster.run_kubectl("-n", self.namespace, *words, input=text, check=False, editor=editor)
        return done.returncode, done.stdout + done.stderr

    def may(self, *words: str, given: Manifest | None = None, editor: str = "", saying: str = "") -> None:
        """Expect that it is done."""
        code, said = self.kubectl(*words, given=given, editor=editor)
        self._note("admitted")
        self.result.expect(code == 0 and saying in said, f"kubectl {' '.join(words)}: {said.strip()}")

    def may_not(self, *words: str, given: Manifest | None = None, editor: str = "", rule: str) -> None:
        """Expect that the rule refuses it."""
        code, said = self.kubectl(*words, given=given, editor=editor)
        self._note("refused")
        self.result.expect(code == 1 and f"[{rule}]" in said, f"kubectl {' '.join(words)}: {said.strip()}")

    def refuses(self, *words: str, editor: str = "", saying: str) -> None:
        """Expect that something of ours that is no webhook refuses it."""
        code, said = self.kubectl(*words, editor=editor)
        self._note("refused")
        self.result.expect(code == 1 and saying in said, f"kubectl {' '.join(words)}: {said.strip()}")

    def refuses_soon(self, service: Manifest, *, rule: str) -> None:
        """Wait until every replica would refuse it: three in a row, as they are asked in turn."""
        dry = ("create", "--dry-run=server", "-f", "-")

        def is_refused() -> bool:
            return all(f"[{rule}]" in self.kubectl(*dry, given=service)[1] for _ in range(REPLICAS))

        with contextlib.suppress(DeadlinePassed):  # the request itself will show it
            wait_until(is_refused, what=f"{rule} is known", deadline_seconds=_WAIT_SECONDS)

    def sees(self, what: str, *words: str, said: str) -> None:
        """Expect that kubectl soon prints exactly that."""
        try:
            wait_until(lambda: self.kubectl(*words)[1] == said, what=what, deadline_seconds=_WAIT_SECONDS)
        except DeadlinePassed:
            self.result.expect(is_so=False, breach=f"{what}: {self.kubectl(*words)[1]!r}")

    def _note(self, verdict: str) -> None:
        self.result.rounds += 1
        self.result.counts[verdict] += 1


def _patch(name: str, patch: Manifest, *more: str) -> tuple[str, ...]:
    return ("patch", "svc", name, "--type=merge", "-p", json.dumps(patch), *more)


def unrelated_changes(desk: Desk) -> None:
    """Label, annotation, finalizer, status, selector, server-side apply, replace: none touches the group."""
    desk.may("create", "-f", "-", given=member("one", key="k", ports=[80]))
    desk.may("create", "-f", "-", given=member("two", key="k", ports=[81]))
    desk.may("label", "svc", "one", "a=b")
    desk.may("annotate", "svc", "one", "a=b")
    desk.may(*_patch("one", {"metadata": {"finalizers": ["soak.sharedvip.dev/kept"]}}))
    desk.may(*_patch("one", {"metadata": {"finalizers": None}}))
    desk.may(*_patch("one", {"status": {"loadBalancer": {"ingress": [{"ip": "10.127.0.9"}]}}}, "--subresource=status"))
    desk.may(*_patch("one", {"spec": {"selector": {"app": "other"}}}))
    desk.may("apply", "--server-side", "--force-conflicts", "-f", "-", given=member("one", key="k", ports=[80]))
    desk.may("create", "deployment", "app", "--image=app")
    desk.may("rollout", "restart", "deployment/app")
    code, text = desk.kubectl("get", "svc", "one", "-o", "json")
    desk.may("replace", "-f", "-", given=json.loads(text) if code == 0 else None)


def ports(desk: Desk) -> None:
    """Add, drop and swap ports; what another holds stays refused, by every verb."""
    desk.may("create", "-f", "-", given=member("one", key="k", ports=[80]))
    desk.may("create", "-f", "-", given=member("two", key="k", ports=[81]))
    desk.may_not("apply", "-f", "-", given=member("one", key="k", ports=[80, 81]), rule="duplicate-port")
    desk.may_not("apply", "--server-side", "--force-conflicts", "-f", "-",
                 given=member("one", key="k", ports=[81]), rule="duplicate-port")  # fmt: skip
    desk.may("apply", "-f", "-", given=member("one", key="k", ports=[80, 443, "81/UDP"]))
    desk.may("apply", "-f", "-", given=member("one", key="k", ports=[443]))
    desk.may("apply", "-f", "-", given=member("two", key="k", ports=[80]))


def types(desk: Desk) -> None:
    """In and out of the group by type and annotation."""
    desk.may("create", "-f", "-", given=member("one", key="k", ports=[80]))
    for other in ("ClusterIP", "NodePort", "ExternalName"):
        spec = {"type": other, **({"externalName": "example.com"} if other == "ExternalName" else {})}
        desk.may_not(*_patch("one", {"spec": spec}), rule="not-load-balancer")
    leave = {"metadata": {"annotations": {SHARED_VIP: None}}, "spec": {"type": "ClusterIP"}}
    desk.may(*_patch("one", leave))
    desk.may("create", "-f", "-", given=member("two", key="k", ports=[80]))
    join = {"metadata": {"annotations": {SHARED_VIP: "k"}}, "spec": {"type": "LoadBalancer"}}
    desk.may_not(*_patch("one", join), rule="duplicate-port")
    desk.may(*_patch("one", {**join, "metadata": {"annotations": {SHARED_VIP: "other"}}}))
    desk.may_not(*_patch("one", {"metadata": {"annotations": {SHARED_VIP: "k"}}}), rule="duplicate-port")


def leaves(desk: Desk) -> None:
    """Who leaves may not take the group's address along; a newcomer finds the group as it was."""
    desk.may("create", "-f", "-", given=member("one", key="k", ports=[80], address=_ADDRESS))
    desk.may("create", "-f", "-", given=member("two", key="k", ports=[81]))
    desk.may_not("annotate", "svc", "one", f"{SHARED_VIP}-", rule="static-address-taken")
    desk.may_not("annotate", "svc", "two", f"{SHARED_VIP}-", rule="static-address-taken")
    desk.may(*_patch("two", {"metadata": {"annotations": {SHARED_VIP: None}}, "spec": {"loadBalancerIP": None}}))
    desk.may("create", "-f", "-", given=member("three", key="k", ports=[82]))
    desk.may("get", "svc", "three", "-o", "jsonpath={.spec.loadBalancerIP}", saying=_ADDRESS)


def helm_upgrades(desk: Desk) -> None:
    """A port goes to another Service of a release: once the giver is applied, and not before."""
    desk.may("apply", "-f", "-", given=member("giver", key="k", ports=[80, 443]))
    desk.may("apply", "-f", "-", given=member("taker", key="k", ports=[81]))
    desk.may_not("apply", "-f", "-", given=member("taker", key="k", ports=[81, 443]), rule="duplicate-port")
    desk.may("apply", "-f", "-", given=member("giver", key="k", ports=[80]))
    desk.may("apply", "-f", "-", given=member("taker", key="k", ports=[81, 443]))
    # A Service under a new name, as a chart's rename makes it: Helm creates what is new before it deletes what is old.
    desk.may_not("create", "-f", "-", given=member("giver-new", key="k", ports=[80]), rule="duplicate-port")
    desk.may("delete", "svc", "giver")
    desk.may("create", "-f", "-", given=member("giver-new", key="k", ports=[80]))


def classes(desk: Desk) -> None:
    """A class that is not ours or not the peers'; Kubernetes lets it change only by way of another type."""
    ours, foreign = "ako.vmware.com/avi-lb", "example.com/other"
    desk.may("create", "-f", "-", given=member("one", key="k", ports=[80]))
    desk.may_not(
        "create", "-f", "-", given=_of_class(member("two", key="k", ports=[81]), foreign), rule="class-mismatch"
    )
    desk.may_not("create", "-f", "-", given=_of_class(member("two", key="k", ports=[81]), ours), rule="class-mismatch")
    away = {"metadata": {"annotations": {SHARED_VIP: None}}, "spec": {"type": "ClusterIP"}}
    desk.may(*_patch("one", away))
    back = {"metadata": {"annotations": {SHARED_VIP: "k"}}, "spec": {"type": "LoadBalancer"}}
    desk.may_not(*_patch("one", _of_class(back, foreign)), rule="class-mismatch")
    desk.may(*_patch("one", _of_class(back, ours)))
    desk.may("create", "-f", "-", given=_of_class(member("two", key="k", ports=[81]), ours))


def _of_class(service: Manifest, name: str) -> Manifest:
    return {**service, "spec": {**service["spec"], "loadBalancerClass": name}}


def by_hand(desk: Desk) -> None:
    """``kubectl edit``: into a conflict it is refused, with our words and the editor's file kept; else it is done."""
    desk.may("create", "-f", "-", given=member("one", key="k", ports=[80]))
    desk.may("create", "-f", "-", given=member("two", key="k", ports=[81]))
    desk.may_not("edit", "svc", "two", rule="duplicate-port", editor="sed -i s/port:.81/port:\\ 80/")
    desk.may("edit", "svc", "two", editor="sed -i s/port:.81/port:\\ 82/")
    desk.may("get", "svc", "two", "-o", "jsonpath={.spec.ports[0].port}", saying="82")
    desk.refuses("edit", "svip", "k", saying="sharedvip-ledger", editor="sed -i s/service:.two/service:\\ one/")


def renames(desk: Desk) -> None:
    """A group moves to another key Service by Service, and its old ledger goes."""
    for number in range(3):
        desk.may("create", "-f", "-", given=member(f"s{number}", key="old", ports=[80 + number]))
    for number in range(3):
        desk.may("annotate", "--overwrite", "svc", f"s{number}", f"{SHARED_VIP}=new")
    desk.sees("only the new ledger is left", "get", "svip", "-o", "jsonpath={.items[*].spec.key}", said="new")


def renames_with_address(desk: Desk) -> None:
    """The address of a group does not go to another key with one of its Services; it is free when all are gone."""
    desk.may("create", "-f", "-", given=member("one", key="old", ports=[80], address=_ADDRESS))
    desk.may("create", "-f", "-", given=member("two", key="old", ports=[81]))
    to_new = ("annotate", "--overwrite", "svc", "one", f"{SHARED_VIP}=new")
    desk.may_not(*to_new, rule="static-address-taken")
    desk.may("delete", "svc", "one", "two")
    desk.sees("the old group is gone", "get", "svip", "-o", "jsonpath={.items[*].spec.key}", said="")
    desk.may("create", "-f", "-", given=member("one", key="new", ports=[80], address=_ADDRESS))


def gitops(desk: Desk) -> None:
    """An inherited address is no difference to the manifest that lacks it: no diff, no fight."""
    giver = member("one", key="k", ports=[80], address=_ADDRESS)
    _inherits_without_a_fight(desk, giver=giver, field="{.spec.loadBalancerIP}")


def gitops_by_annotation(desk: Desk) -> None:
    """Likewise where the group has it in AKO's annotation, as Kubernetes' own warning recommends."""
    giver = member("one", key="k", ports=[80], annotations={LOAD_BALANCER_IP: _ADDRESS})
    _inherits_without_a_fight(desk, giver=giver, field=r"{.metadata.annotations.ako\.vmware\.com/load-balancer-ip}")


def _inherits_without_a_fight(desk: Desk, *, giver: Manifest, field: str) -> None:
    manifest = member("two", key="k", ports=[81])
    desk.may("apply", "-f", "-", given=giver)
    desk.may("apply", "-f", "-", given=manifest, saying="created")
    desk.may("get", "svc", "two", "-o", f"jsonpath={field}", saying=_ADDRESS)
    desk.may("apply", "-f", "-", given=manifest, saying="unchanged")
    desk.may("diff", "-f", "-", given=manifest)
    # The whole object anew, without what was inherited: it inherits it again.
    desk.may("replace", "-f", "-", given=manifest)
    desk.may("get", "svc", "two", "-o", f"jsonpath={field}", saying=_ADDRESS)
    argo = ("apply", "--server-side", "--field-manager=argocd-controller", "--force-conflicts", "-f", "-")
    desk.may(*argo, given=manifest)
    desk.may(*argo, given=manifest)
    desk.may("get", "svc", "two", "-o", f"jsonpath={field}", saying=_ADDRESS)
    # Never applied but by the server's side: nothing is written the second time.
    anew = member("three", key="k", ports=[82])
    desk.may(*argo, given=anew)
    _, before = desk.kubectl("get", "svc", "three", "-o", "jsonpath={.metadata.resourceVersion}")
    desk.may(*argo, given=anew)
    desk.may("get", "svc", "three", "-o", "jsonpath={.metadata.resourceVersion}", saying=before)
    desk.may("get", "svc", "three", "-o", f"jsonpath={field}", saying=_ADDRESS)


def names_and_ends(desk: Desk) -> None:
    """``generateName``; a deletion that waits for a finalizer holds its port until it is gone."""
    generated = member("", key="k", ports=[80])
    generated["metadata"] = {**generated["metadata"], "name": None, "generateName": "gen-"}
    desk.may("create", "-f", "-", given=generated)
    desk.may_not("create", "-f", "-", given=generated, rule="duplicate-port")
    slow = member("slow", key="k", ports=[443])
    slow["metadata"]["finalizers"] = ["soak.sharedvip.dev/slow"]
    desk.may("create", "-f", "-", given=slow)
    desk.may("delete", "svc", "slow", "--wait=false")
    desk.may_not("create", "-f", "-", given=member("next", key="k", ports=[443]), rule="duplicate-port")
    desk.may("label", "svc", "slow", "still=changeable")
    # What is being deleted is never refused anything: it would be kept from its end.
    desk.may(*_patch("slow", ports_patch(80)))
    desk.may(*_patch("slow", {"metadata": {"finalizers": None}}))
    desk.may("create", "-f", "-", given=member("next", key="k", ports=[443]))


CHAPTERS: Final[tuple[Callable[[Desk], None], ...]] = (
    unrelated_changes,
    ports,
    types,
    leaves,
    helm_upgrades,
    classes,
    by_hand,
    renames,
    renames_with_address,
    gitops,
    gitops_by_annotation,
    names_and_ends,
)
