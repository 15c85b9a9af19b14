-- rule.py

local SLACK, SAME_TIME = 0.01, 1e-6

local function last_boundary_to_let_go(answered, room, per)
  local boundaries = map(answered, function(answer) return answer end)
  for _, answer in ipairs(answered) do boundaries[#boundaries + 1] = answer + per end
  table.sort(boundaries, function(one, other) return one > other end)
  local latest, since, before = ALWAYS, #answered, #answered
  for _, boundary in ipairs(boundaries) do
    if boundary + per <= latest then break end
    while since > 0 and answered[since] >= boundary - SAME_TIME do since = since - 1 end
    while before > 0 and answered[before] >= boundary - per - SAME_TIME do before = before - 1 end
    local older, left = since - before, room - (#answered - since)
    if older > left then
      latest = math.max(latest, boundary + per * (left > 0 and 1 - left / older or 1))
    end
  end
  return latest
end

local function opens_at(answered, in_flight, rate)
  local calls, per = rate[1], rate[2]
  local room = calls * (1 - math.min(SLACK, per / 50) / per) - in_flight
  if room < 0 then return NEVER end
  if #answered <= room then return ALWAYS end
  return last_boundary_to_let_go(answered, room, per)
end
