-- Ends what waits for the answer of a replica that hangs: one that is down because its check timed out, and from which
-- nothing has come for a second. HAProxy then sends to another replica what may be repeated. A replica that answers
-- requests and is late with the check has much to do: it stays, or the other would get its work too.
-- `on-marked-down shutdown-sessions` would end requests of replicas that died, too. Those are on their way to another one
-- already, and some of them would end without an answer.
local LOOK_MILLISECONDS = 100
local SILENT_SECONDS = 1

-- By server: how many bytes have come from it, and when the last did.
local bytes, last = {}, {}

local function now()
    local time = core.now()
    return time.sec + time.usec / 1e6
end

local function look(name, server)
    local stats = server:get_stats()
    if stats.bout ~= bytes[name] then
        bytes[name], last[name] = stats.bout, now()
    end
    if stats.status:find("^DOWN") and (stats.check_status or ""):find("TOUT") then
        if now() - last[name] < SILENT_SECONDS then
            server:check_force_up()
        else
            server:shut_sess()
        end
    end
end

core.register_task(function()
    while true do
        core.msleep(LOOK_MILLISECONDS)
        for _, backend in pairs(core.backends) do
            for _, server in pairs(backend.servers) do
                look(backend:get_name() .. "/" .. server:get_name(), server)
            end
        end
    end
end)
