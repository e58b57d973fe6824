# The same three rules in OPA's best case: somebody else keeps, for each group, who serves which listener at which address.
package system

import rego.v1

annotation := "ako.vmware.com/enable-shared-vip"

object := input.request.object

key := object.metadata.annotations[annotation]

group := data.groups[input.request.namespace][key]

address := object.spec.loadBalancerIP

address := object.metadata.annotations["ako.vmware.com/load-balancer-ip"] if not object.spec.loadBalancerIP

address := "" if {
	not object.spec.loadBalancerIP
	not object.metadata.annotations["ako.vmware.com/load-balancer-ip"]
}

deny contains "spec.type must be LoadBalancer" if {
	key
	object.spec.type != "LoadBalancer"
}

deny contains message if {
	some port in object.spec.ports
	listener := sprintf("%d/%s", [port.port, port.protocol])
	holder := group.listeners[listener]
	holder != input.request.name
	message := sprintf("%v is already served on this VIP by Service %v", [listener, holder])
}

deny contains "the static address differs from the group's" if group.address != address

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
