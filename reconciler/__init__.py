"""Groups to Avi objects to status: observe, desired, plan, apply; ``run.run`` is the way in."""
