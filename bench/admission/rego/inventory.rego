# The three rules over an inventory as Gatekeeper syncs it: whole objects, by namespace, version, kind and name.
# The shape is that of Gatekeeper's own library (`general/uniqueserviceselector`).
package system

import rego.v1

annotation := "ako.vmware.com/enable-shared-vip"

object := input.request.object

key := object.metadata.annotations[annotation]

address(service) := service.spec.loadBalancerIP

address(service) := service.metadata.annotations["ako.vmware.com/load-balancer-ip"] if not service.spec.loadBalancerIP

address(service) := "" if {
	not service.spec.loadBalancerIP
	not service.metadata.annotations["ako.vmware.com/load-balancer-ip"]
}

peers[name] := other if {
	some name
	other := data.inventory.namespace[input.request.namespace][_].Service[name]
	name != input.request.name
	other.metadata.annotations[annotation] == key
	other.spec.type == "LoadBalancer"
}

deny contains "spec.type must be LoadBalancer" if {
	key
	object.spec.type != "LoadBalancer"
}

deny contains message if {
	some name, other in peers
	some mine in object.spec.ports
	some theirs in other.spec.ports
	mine.port == theirs.port
	mine.protocol == theirs.protocol
	message := sprintf("%v/%v is already served on this VIP by Service %v", [mine.port, mine.protocol, name])
}

deny contains message if {
	some name, other in peers
	address(object) != address(other)
	message := sprintf("the static address differs from that of Service %v", [name])
}

main := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"response": response,
}

response := {"uid": input.request.uid, "allowed": true} if count(deny) == 0

response := {
	"uid": input.request.uid,
	"allowed": false,
	"status": {"code": 403, "reason": "Forbidden", "message": concat("\n", sort(deny))},
} if {
	count(deny) > 0
}
