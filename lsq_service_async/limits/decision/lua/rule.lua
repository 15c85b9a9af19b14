-- rule.py

local SLACK = 0.01

local function last_boundary_to_let_go(answered, room, per)
  local latest, since, before = ALWAYS, #answered, #answered - math.floor(room)
  local edge = answered[before] + per
  while answered[since] > edge do since = since - 1 end
  while true do
    local boundary = edge
    if answered[since] > edge then
      boundary, since = answered[since], since - 1
    else
      before = before - 1
      edge = before > 0 and answered[before] + per or ALWAYS
    end
    if boundary + per <= latest then return latest end
    local left = room - (#answered - since)
    latest = math.max(latest, boundary + per * (left > 0 and 1 - left / (since - before) or 1))
  end
end

local function opens_at(answered, in_flight, rate)
  local calls, per = rate[1], rate[2]
  local room = calls * (1 - math.min(SLACK, per / 50) / per) - in_flight
  if room < 0 then return NEVER end
  if #answered <= room then return ALWAYS end
  return last_boundary_to_let_go(answered, room, per)
end
