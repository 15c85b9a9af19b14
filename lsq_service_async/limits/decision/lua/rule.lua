-- rule.py

local SLACK, SAME_TIME = 0.01, 1e-6

local function must_fade(older, room)
  if room < 0 then return 1 end
  return older > room and 1 - room / older or ALWAYS
end

local function last_boundary_to_let_go(answered, room, per)
  local boundaries = map(answered, function(answer) return answer end)
  for _, answer in ipairs(answered) do boundaries[#boundaries + 1] = answer + per end
  table.sort(boundaries)
  local latest, before, since = ALWAYS, 0, 0
  for _, boundary in ipairs(boundaries) do
    while since < #answered and answered[since + 1] < boundary - SAME_TIME do since = since + 1 end
    while before < #answered and answered[before + 1] < boundary - per - SAME_TIME do before = before + 1 end
    latest = math.max(latest, boundary + per * must_fade(since - before, room - (#answered - since)))
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
