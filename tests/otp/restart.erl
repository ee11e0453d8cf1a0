%% From the crash of a gen_server to its answering again under OTP's own supervisor
%% (benches/restart.rs). Prints nanoseconds, one sample a line. Each sample is the first crash in
%% a fresh tree, as in ours; the restarted child says that it is there, so nobody polls.
-module(restart).
-export([main/1, init/1, start_child/1, handle_call/3, handle_cast/2]).

main([Count]) ->
    logger:set_primary_config(level, none),
    process_flag(trap_exit, true),
    N = list_to_integer(Count),
    _ = [sample() || _ <- lists:seq(1, N)],
    [io:format("~b~n", [sample()]) || _ <- lists:seq(1, N)],
    halt(0).

sample() ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, {tree, self()}),
    Child = up(),
    T0 = erlang:monotonic_time(nanosecond),
    gen_server:cast(Child, crash),
    pong = gen_server:call(up(), ping),
    T1 = erlang:monotonic_time(nanosecond),
    exit(Supervisor, shutdown),
    receive {'EXIT', Supervisor, _} -> ok end,
    T1 - T0.

up() -> receive {up, Child} -> Child end.

start_child(Client) -> gen_server:start_link(?MODULE, {child, Client}, []).

init({tree, Client}) ->
    Child = #{id => child, start => {?MODULE, start_child, [Client]}, restart => permanent},
    {ok, {#{strategy => one_for_one, intensity => 5, period => 60}, [Child]}};
init({child, Client}) ->
    Client ! {up, self()},
    {ok, nothing}.

handle_call(ping, _, State) -> {reply, pong, State}.

handle_cast(crash, _) -> error(crash).
