-- text.py. cjson would write an empty list as an object, and numbers without their last digits.

local function to_text(value)
  if type(value) == "table" then return "[" .. table.concat(map(value, to_text), ",") .. "]" end
  if value == ALWAYS then return "-Infinity" end
  if type(value) == "number" then return string.format("%.17g", value) end
  return tostring(value)
end

local function read(text)
  local share, line, moments, flights, users = unpack(cjson.decode(text))
  local state = { configured = share[1], plan = share[2], rate = share[3], halved_at = share[4], quiet_since = share[5] }
  state.row, state.turns = line[1], line[2]
  state.heads = map(line[3], function(head)
    return { owner = head[1], lane = head[2], turn = head[3], till = head[4], heavy = head[5], waiting = head[6] }
  end)
  state.seen, state.paused_until, state.paced_until, state.round_trip = unpack(moments, 1, 4)
  state.answered, state.uploads = moments[5], moments[6]
  state.flights = map(flights, function(flight)
    return { slot = flight[1], owner = flight[2], since = flight[3], till = flight[4], heavy = flight[5] }
  end)
  state.users = users
  return state
end

local function write(state)
  return to_text({
    { state.configured, state.plan, state.rate, state.halved_at, state.quiet_since },
    { state.row, state.turns, map(state.heads, function(head)
      return { head.owner, head.lane, head.turn, head.till, head.heavy, head.waiting }
    end) },
    { state.seen, state.paused_until, state.paced_until, state.round_trip, state.answered, state.uploads },
    map(state.flights, function(flight)
      return { flight.slot, flight.owner, flight.since, flight.till, flight.heavy }
    end),
    state.users,
  })
end
