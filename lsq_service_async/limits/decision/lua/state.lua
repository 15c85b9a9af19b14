-- state.py

local LEASE = 10

local function token(state) return state.rate[2] / state.rate[1] end

local function insert(times, moment)
  local place = #times + 1
  while place > 1 and times[place - 1] > moment do place = place - 1 end
  table.insert(times, place, moment)
end

local function take_flight(state, slot)
  local place, flight = find(state.flights, function(flight) return flight.slot == slot end)
  if place then table.remove(state.flights, place) end
  return flight
end

local function count_answer(state, moment, heavy)
  insert(state.answered, moment)
  if heavy then insert(state.uploads, moment) end
end

local function answer(state, flight, moment, heavy)
  if flight and not heavy then
    state.round_trip = state.round_trip + 0.2 * (moment - flight.since - state.round_trip)
  end
  count_answer(state, moment, heavy)
end

local function enter(state, flight)
  take_flight(state, flight.slot)
  state.flights[#state.flights + 1] = flight
end

local function tidy(state, now)
  let_grow(state, now)
  for _, flight in ipairs(keep(state.flights, function(flight) return flight.till <= now end)) do
    take_flight(state, flight.slot)
    count_answer(state, flight.till, flight.heavy)
  end
  state.answered = keep(state.answered, function(moment) return moment >= now - 2 * state.rate[2] end)
  state.uploads = keep(state.uploads, function(moment) return moment >= now - state.rate[2] end)
  state.heads = keep(state.heads, function(head) return head.till > now end)
end

local function uploads_at(state, now)
  local back = keep(state.uploads, function(moment) return moment + state.rate[2] > now end)
  local flying = count(state.flights, function(flight) return flight.heavy end)
  if flying + #back < math.max(1, math.floor(state.rate[1] / 2)) then return now end
  return back[1] and back[1] + state.rate[2] or NEVER
end

local function ready_at(state, now, owner, want)
  local uploads = uploads_at(state, now)
  local interactive, bulk = ahead(state, owner, want.lane, uploads <= now)
  local others, at = interactive, state.paused_until
  if want.lane == INTERACTIVE then
    if bulk > 0 and is_turn_of_bulk(state, interactive) and state.paced_until <= now then others = others + 1 end
  else
    others = bulk + passed_by(state, BULK, bulk, interactive)
    at = math.max(at, bulk > 0 and math.max(now, state.paced_until) + bulk * token(state) or state.paced_until)
  end
  if want.heavy then at = math.max(at, uploads) end
  return math.max(at, opens_at(state.answered, #state.flights + others, state.rate))
end

local function take(state, now, owner, slot, wants)
  for _, want in ipairs(in_turn(state, wants)) do
    if ready_at(state, now, owner, want) <= now then
      if want.lane == BULK then
        local in_time = now - state.paced_until < token(state) / 2
        state.paced_until = (in_time and state.paced_until or now) + token(state)
      end
      count_row(state, owner, want, wants)
      enter(state, { slot = slot, owner = owner, since = now, till = now + LEASE, heavy = want.heavy })
      return want
    end
  end
end
