-- The health of a SkyNamespace as Argo CD shows it. The conditions are worded by the operator; their messages are shown as
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

if is("Stalled", "True") then
  return say("Degraded", "Stalled")
end
if is("Reconciling", "True") then
  return say("Progressing", "Reconciling")
end
if is("Ready", "True") then
  return say("Healthy", "Ready")
end
return {status = "Progressing", message = "the namespace is not in place"}
