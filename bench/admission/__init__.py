"""``make bench-admission``: what a decision costs, beside the floor, OPA and a ValidatingAdmissionPolicy."""
