-- The health of a SkyJob as Argo CD shows it. The conditions are worded by the operator; their messages are shown as
-- they are.
local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local function is(kind, status)
  return conditions[kind] ~= nil and conditions[kind].status == status
end

local function say(status, kind)
  return {status = status, message = conditions[kind].message}
end

-- A status of an older generation speaks of another spec.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the operator of Sky Manager"}
end

if is("Failed", "True") then
  return say("Degraded", "Failed")
end
if is("Stalled", "True") then
  return say("Degraded", "Stalled")
end
if is("Complete", "True") then
  return say("Healthy", "Complete")
end
if is("Suspended", "True") then
  return say("Suspended", "Suspended")
end
if conditions["Reconciling"] ~= nil then
  return say("Progressing", "Reconciling")
end
return {status = "Progressing", message = "the job has not ended"}
