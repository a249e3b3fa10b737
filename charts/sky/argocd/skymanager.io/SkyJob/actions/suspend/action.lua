-- Leave spec.suspend out of Git: what Git does not say, self-heal does not undo.
obj.spec.suspend = true
return obj
