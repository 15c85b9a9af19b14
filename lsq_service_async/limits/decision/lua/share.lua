-- share.py

local LEAST = 5

local function is_rate(rate, other) return rate[1] == other[1] and rate[2] == other[2] end

local function use(state, rate)
  state.configured, state.plan, state.rate = rate, rate, rate
  state.halved_at, state.quiet_since = ALWAYS, ALWAYS
end

local function keep_to(state, calls) state.rate = { calls, state.plan[2] } end

local function refused(state, now, named)
  state.quiet_since = now
  if named and named[1] * state.plan[2] < state.plan[1] * named[2] then
    state.plan = named
    keep_to(state, math.min(state.rate[1], named[1]))
  elseif now >= state.halved_at + state.plan[2] then
    state.halved_at = now
    keep_to(state, math.max(math.floor(state.rate[1] / 2), math.ceil(state.plan[1] / LEAST)))
  end
end

local function let_grow(state, now)
  local missing, per = state.plan[1] - state.rate[1], state.plan[2]
  local quiet = missing > 0 and math.floor((now - state.quiet_since) / per) or 0
  if quiet < 1 then return end
  state.quiet_since = state.quiet_since + quiet * per
  keep_to(state, state.rate[1] + math.min(quiet, missing))
end
