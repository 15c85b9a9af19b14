-- line.py

local INTERACTIVE, BULK = 0, 1
local BULK_FLOOR, GRACE = 5, 0.5

local function head_of(state, owner, lane)
  return find(state.heads, function(head) return head.owner == owner and head.lane == lane end)
end

local function drop_head(state, owner, lane)
  local place = head_of(state, owner, lane)
  if place then table.remove(state.heads, place) end
end

local function is_turn_of_bulk(state, after) return state.row + after >= BULK_FLOOR - 1 end

local function in_turn(state, wants)
  local lanes = is_turn_of_bulk(state, 0) and { BULK, INTERACTIVE } or { INTERACTIVE, BULK }
  local ordered = {}
  for _, lane in ipairs(lanes) do
    for _, want in ipairs(wants) do
      if want.lane == lane then ordered[#ordered + 1] = want end
    end
  end
  return ordered
end

local function ahead(state, owner, lane, uploads_may_go)
  local _, mine = head_of(state, owner, lane)
  local turn = mine and mine.turn or NEVER
  local before = keep(state.heads, function(head)
    return head.owner ~= owner and (uploads_may_go or not head.heavy) and (head.lane ~= lane or head.turn < turn)
  end)
  local bulk = count(before, function(head) return head.lane == BULK end)
  return #before - bulk, bulk
end

local function passed_by(state, lane, place, other)
  local row = BULK_FLOOR - 1
  if lane == INTERACTIVE then return math.min(other, math.floor((place + state.row) / row)) end
  return math.min(other, math.max(0, row * (place + 1) - state.row))
end

local function is_bulk(one) return one.lane == BULK end

local function count_row(state, owner, want, wants)
  local passed = want.lane == INTERACTIVE and (find(wants, is_bulk) or find(state.heads, is_bulk))
  state.row = passed and state.row + 1 or 0
  drop_head(state, owner, want.lane)
end

local function line_up(state, owner, wants, waiting, at)
  for lane = INTERACTIVE, BULK do
    local mine = keep(wants, function(want) return want.lane == lane end)
    local _, head = head_of(state, owner, lane)
    drop_head(state, owner, lane)
    if #mine > 0 then
      if not head then state.turns = state.turns + 1 end
      state.heads[#state.heads + 1] = {
        owner = owner, lane = lane, turn = head and head.turn or state.turns, till = at + GRACE,
        heavy = not find(mine, function(want) return not want.heavy end), waiting = waiting[lane + 1],
      }
    end
  end
end
