-- What Lua's lists lack.

local NEVER, ALWAYS = math.huge, -math.huge

local function map(list, change)
  local changed = {}
  for place, value in ipairs(list) do changed[place] = change(value) end
  return changed
end

local function keep(list, wanted)
  local kept = {}
  for _, value in ipairs(list) do
    if wanted(value) then kept[#kept + 1] = value end
  end
  return kept
end

local function count(list, wanted) return #keep(list, wanted) end

local function find(list, wanted)
  for place, value in ipairs(list) do
    if wanted(value) then return place, value end
  end
end
