-- What can be done to a SkyCluster: keep new shares off it (cordon), and let them come again.
local suspended = obj.spec.unschedulable == true

local actions = {}
actions["suspend"] = {["disabled"] = suspended, ["iconClass"] = "fa fa-fw fa-pause"}
actions["resume"] = {["disabled"] = not suspended, ["iconClass"] = "fa fa-fw fa-play"}
return actions
