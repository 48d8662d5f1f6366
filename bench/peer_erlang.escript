#!/usr/bin/env escript
%%! +S 1 -kernel logger_level none
%% OTP's side of bench.runtime_peers, on one scheduler, as Python has one.
%% Usage: escript peer_erlang.escript time|memory SCALE      prints {question: figure} as JSON
-mode(compile).
-export([start_link/2, init/1, handle_call/3, handle_cast/2]).

start_link(none, Owner) -> gen_server:start_link(?MODULE, {server, Owner}, []);
start_link(Name, Owner) -> gen_server:start_link({local, Name}, ?MODULE, {server, Owner}, []).

%% The callbacks of the supervisor and of the server.
init({server, Owner}) ->
    Owner =:= none orelse (Owner ! started),
    {ok, none};
init(supervisor) ->
    Child = #{id => child, start => {?MODULE, start_link, []}, restart => permanent},
    {ok, {#{strategy => simple_one_for_one, intensity => 1 bsl 30, period => 1}, [Child]}}.

handle_call(Request, _From, State) -> {reply, Request, State}.
handle_cast(crash, _State) -> exit(as_asked);
handle_cast(_Message, State) -> {noreply, State}.

main([What, Digits]) ->
    Scale = list_to_integer(Digits),
    {ok, Supervisor} = supervisor:start_link(?MODULE, supervisor),
    {ok, Server} = supervisor:start_child(Supervisor, [none, none]),
    Figures = case What of
        "memory" -> [{"memory", memory(Supervisor, 2000 * Scale)}];
        "time" -> [{"call", call(Server, 20000 * Scale)}, {"cast", cast(Server, 20 * Scale)},
                   {"spawn", spawn_children(Supervisor, 1000 * Scale)}, {"crash", crash(Supervisor, 200 * Scale)}]
    end,
    Told = lists:join(", ", [io_lib:format("\"~s\": ~.4f", [Name, Figure]) || {Name, Figure} <- Figures]),
    io:format("{\"otp\": \"~s\", \"figures\": {~s}}~n", [erlang:system_info(otp_release), Told]).

%% Microseconds each.
timed(Count, Do) ->
    Start = erlang:monotonic_time(nanosecond),
    repeat(Count, Do),
    (erlang:monotonic_time(nanosecond) - Start) / Count / 1000.

repeat(0, _Do) -> ok;
repeat(Count, Do) -> Do(), repeat(Count - 1, Do).

call(Server, Count) -> timed(Count, fun() -> gen_server:call(Server, 1) end).

cast(Server, Bursts) ->
    Burst = fun() -> repeat(999, fun() -> gen_server:cast(Server, 1) end), gen_server:call(Server, 1) end,
    timed(Bursts, Burst) / 1000.

spawn_children(Supervisor, Count) -> timed(Count, fun() -> {ok, _} = supervisor:start_child(Supervisor, [none, none]) end).

crash(Supervisor, Count) ->
    {ok, _} = supervisor:start_child(Supervisor, [crasher, self()]),
    receive started -> ok end,
    timed(Count, fun() -> gen_server:cast(crasher, crash), receive started -> ok end end).

%% Kilobytes each, by the machine's own count.
memory(Supervisor, Count) ->
    Before = erlang:memory(total),
    spawn_children(Supervisor, Count),
    (erlang:memory(total) - Before) / Count / 1024.
