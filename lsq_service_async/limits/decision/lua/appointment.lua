-- appointment.py

local LONGEST_NAP, BLIND_NAP, SHORTEST_NAP, MARGIN, UNREPORTED = 10, 1, 0.25, 0.1, 2

local function expected(state, now)
  local all = map(state.flights, function(flight) return flight.since + state.round_trip end)
  local soon = keep(all, function(moment) return moment > now - UNREPORTED end)
  local answered = map(state.answered, function(moment) return moment end)
  for _, moment in ipairs(soon) do answered[#answered + 1] = moment end
  table.sort(answered)
  return answered, #all - #soon
end

local function goes_at(state, now, owner, want, answered, in_flight)
  local uploads = uploads_at(state, now)
  local interactive, bulk = ahead(state, owner, want.lane, uploads <= now)
  local at = want.heavy and math.max(state.paused_until, uploads) or state.paused_until
  if want.lane == INTERACTIVE then
    local passed = passed_by(state, INTERACTIVE, interactive, bulk)
    return math.max(at, opens_at(answered, in_flight + interactive + passed, state.rate))
  end
  local paced = state.paced_until
  for place = 0, bulk do
    local passed = passed_by(state, BULK, place, interactive)
    paced = math.max(paced, opens_at(answered, in_flight + place + passed, state.rate)) + token(state)
  end
  return math.max(at, paced - token(state))
end

local function comes_back_at(state, now, owner, wants)
  local answered, in_flight = expected(state, now)
  local at = NEVER
  for _, want in ipairs(wants) do at = math.min(at, goes_at(state, now, owner, want, answered, in_flight)) end
  if at == NEVER then return now + BLIND_NAP end
  return at <= now and now or math.min(at + MARGIN * token(state), now + LONGEST_NAP)
end
