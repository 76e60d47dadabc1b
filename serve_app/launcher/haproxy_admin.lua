-- Answers on Ray's admin socket what HAProxy's own says, with the pid of the wrapper, which is the process that Ray
-- started, in place of HAProxy's. Ray believes no answer with another pid.
-- Arguments: the path of HAProxy's own socket, and the wrapper's pid.
local path, pid = ...

core.register_service("admin", "tcp", function(applet)
    local command = applet:getline()
    local socket = core.tcp()
    if socket:connect("unix@" .. path) then
        socket:send(command)
        local answer = socket:receive("*a") or ""
        applet:send((answer:gsub("\nPid: %d+\n", "\nPid: " .. pid .. "\n", 1)))
    end
    socket:close()
end)
