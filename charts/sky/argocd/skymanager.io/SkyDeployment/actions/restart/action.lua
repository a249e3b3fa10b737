-- Git does not own this annotation. Another value rolls the pods.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["skymanager.io/restarted-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
