-- Leave spec.unschedulable out of Git: what Git does not say, self-heal does not undo.
obj.spec.unschedulable = true
return obj
