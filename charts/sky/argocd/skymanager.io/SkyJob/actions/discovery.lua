-- What can be done to a SkyJob: hold it back, let it go on, and try a failed run again.
local ended, failed = false, false
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.status == "True" and (condition.type == "Complete" or condition.type == "Failed") then
      ended = true
      failed = condition.type == "Failed"
    end
  end
end
local suspended = obj.spec.suspend == true

local actions = {}
actions["suspend"] = {["disabled"] = ended or suspended, ["iconClass"] = "fa fa-fw fa-pause"}
actions["resume"] = {["disabled"] = not suspended, ["iconClass"] = "fa fa-fw fa-play"}
actions["retry"] = {["disabled"] = not failed, ["iconClass"] = "fa fa-fw fa-redo"}
return actions
