-- exchange.py, with the state in KEYS[1]. ARGV[1] is the ask (text.py); ARGV[2] a time, or empty for the server's own.
-- Returns the place of the granted want or -1, the seconds to wait, the time, the state; or "rate", calls, seconds.

local PRESENCE, CLOCK_JUMP = 60, 1
local MEMORY = 600 -- s; a limit that nobody has asked for so long is forgotten

local function fresh(rate, now)
  local state = {
    row = 0, turns = 0, heads = {}, seen = now, paused_until = ALWAYS, paced_until = ALWAYS, round_trip = 0.1,
    answered = {}, uploads = {}, flights = {}, users = {},
  }
  use(state, rate)
  return state
end

local function with_answers(state, calls)
  for place = 1, calls do state.answered[place] = state.seen end
  return state
end

local function state_at(text, now, ask)
  if not text then return with_answers(fresh(ask.rate, now), ask.returning and ask.rate[1] or 0) end
  local state = read(text)
  if now >= state.seen - CLOCK_JUMP and now <= ask.expected + CLOCK_JUMP then return state end
  local known = #state.answered + #state.flights
  return with_answers(fresh(state.configured, now), math.min(known, state.configured[1]))
end

local function is_known(state, owner)
  return find(state.users, function(user) return user[1] == owner end) ~= nil
end

local function admit(state, now, ask)
  state.users = keep(state.users, function(user) return user[2] > now end)
  local others = keep(state.users, function(user) return user[1] ~= ask.owner end)
  if not is_rate(ask.rate, state.configured) then
    if #others > 0 then return false end
    use(state, ask.rate)
  end
  others[#others + 1] = { ask.owner, now + PRESENCE }
  state.users = others
  return true
end

local function take_in(state, now, ask, known)
  for _, ended in ipairs(ask.ended) do
    local slot, age, heavy, again = unpack(ended)
    local flight = take_flight(state, slot)
    if age and (flight or not (again and known)) then answer(state, flight, now - age, heavy) end
  end
  for _, held in ipairs(ask.held) do
    local slot, age, heavy = unpack(held)
    enter(state, { slot = slot, owner = ask.owner, since = now - age, till = now + LEASE, heavy = heavy })
  end
  state.paused_until = math.max(state.paused_until, now + ask.pause)
  for _, named in ipairs(ask.refusals) do refused(state, now, named) end
end

local function leave(state, ask)
  state.users = keep(state.users, function(user) return user[1] ~= ask.owner end)
  line_up(state, ask.owner, {}, { 0, 0 }, state.seen)
  return nil, LONGEST_NAP
end

local function grant(state, now, ask)
  local granted = take(state, now, ask.owner, ask.slot, ask.wants)
  local wants, waiting = ask.wants, ask.waiting
  if granted then
    wants = keep(wants, function(want) return want ~= granted end)
    waiting[granted.lane + 1] = waiting[granted.lane + 1] - 1
  end
  local at = comes_back_at(state, now, ask.owner, wants)
  if not granted then at = math.max(at, now + SHORTEST_NAP * token(state)) end
  line_up(state, ask.owner, wants, waiting, at)
  return granted and granted.place, at - now
end

local function asked(text)
  local ask = {}
  ask.owner, ask.slot, ask.rate, ask.wants, ask.waiting, ask.ended, ask.held, ask.pause, ask.refusals, ask.returning,
    ask.leaving, ask.expected = unpack(cjson.decode(text), 1, 12)
  for place, want in ipairs(ask.wants) do ask.wants[place] = { place = place - 1, lane = want[1], heavy = want[2] } end
  return ask
end

local function server_time()
  local time = redis.call("TIME")
  return time[1] + time[2] / 1e6
end

local ask, now = asked(ARGV[1]), tonumber(ARGV[2]) or server_time()
local state = state_at(redis.call("GET", KEYS[1]), now, ask)
now = math.max(now, state.seen)
state.seen = now
tidy(state, now)
local known = is_known(state, ask.owner)
if not admit(state, now, ask) then return { "rate", to_text(state.configured[1]), to_text(state.configured[2]) } end
take_in(state, now, ask, known)
local place, wait
if ask.leaving then place, wait = leave(state, ask) else place, wait = grant(state, now, ask) end
local text, memory = write(state), math.max(MEMORY, state.paused_until - now + 2 * state.rate[2])
redis.call("SET", KEYS[1], text, "PX", math.ceil(memory * 1000))
return { place or -1, to_text(wait), to_text(now), text }
