-- Git does not own this annotation. A value not seen before asks for a retry of the failed run.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["skymanager.io/retry"] = os.date("!%Y-%m-%dT%XZ")
return obj
