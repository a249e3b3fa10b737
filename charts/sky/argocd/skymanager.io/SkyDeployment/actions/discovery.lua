-- What can be done to a SkyDeployment: start its pods anew, hold back changed templates, and let them go on.
local suspended = obj.spec.paused == true

local actions = {}
actions["restart"] = {["disabled"] = suspended, ["iconClass"] = "fa fa-fw fa-redo"}
actions["suspend"] = {["disabled"] = suspended, ["iconClass"] = "fa fa-fw fa-pause"}
actions["resume"] = {["disabled"] = not suspended, ["iconClass"] = "fa fa-fw fa-play"}
return actions
