"""Every annotation and class name we read or write, spelled once; it never decides what they mean.

Source: AKO 2.2.1 (``shared/design/ako.md`` sections 1.2 and 1.4), Kubernetes API reference for the field names.
"""

from typing import Final

SHARED_VIP: Final = "ako.vmware.com/enable-shared-vip"
"""Source: AKO ``docs/shared_vip.md``. Its value is the sharing key."""

LOAD_BALANCER_IP: Final = "ako.vmware.com/load-balancer-ip"
"""Source: AKO 2.2.1; ``spec.loadBalancerIP`` wins over it."""

INFRA_SETTING: Final = "aviinfrasetting.ako.vmware.com/name"
"""Source: AKO ``docs/crds/avinfrasetting.md``."""

L4_RULE: Final = "ako.vmware.com/l4rule"
"""Source: AKO ``docs/crds/l4rule.md``."""

INTENDED_ADDRESS: Final = "sharedvip.dev/intended-address"
"""Ours: the static address that the whole group is to move to (``docs/adr/0005-address-change.md``)."""

AVI_CLASS: Final = "ako.vmware.com/avi-lb"
"""``spec.loadBalancerClass`` of Services that Avi serves. Source: AKO ``lib.go:1859 ValidateSvcforClass``."""

READY_CONDITION: Final = "sharedvip.dev/Ready"
"""Ours: the condition on every member Service."""
