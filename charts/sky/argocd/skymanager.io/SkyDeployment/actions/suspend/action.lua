-- Leave spec.paused out of Git: what Git does not say, self-heal does not undo.
obj.spec.paused = true
return obj
