%% Erlang/OTP's own supervisor as the oracle of our restart decisions.
%%
%% Reads schedules (Erlang terms) and writes what the real `supervisor` did, one line for each
%% schedule; tests/it/otp.rs writes the former, runs the same in our code, and compares.
%%
%% Every decision comes from the supervisor that is installed: its code is taken from its own
%% .beam file, the one call that reads the clock (`erlang:monotonic_time/1`) is sent to
%% now/1 below, and the result is loaded in its place. So a minute passes in no time and
%% nothing else differs. Should another version read the clock in any other way, this stops.
%%
%% OTP counts restarts for each supervisor, we count for each child. So each child has a
%% supervisor of its own here, and those stand below `root`, which stands below `process`:
%%
%%   process   the session process: so many fresh trees in so many seconds
%%   root      the Session actor; ends with a significant child (OTP 24), as the process does
%%   Child     intensity and period of this child
%%   worker    the child itself
%%
%% "The tree fails with this child" is OTP's `significant`.

-module(oracle).
-behaviour(supervisor).
-export([main/1, now/1, init/1, start_supervisor/1, start_worker/1, start_member/4]).

main([Task, In, Out]) ->
    try
        ok = logger:set_primary_config(level, none),
        process_flag(trap_exit, true),
        ets:new(attempts, [named_table, public]),
        ets:new(failures, [named_table, public]),
        persistent_term:put(?MODULE, atomics:new(1, [])),
        use_virtual_time(),
        {ok, Cases} = file:consult(In),
        ok = file:write_file(Out, [[run(Task, Case), $\n] || Case <- Cases]),
        io:format("~s~n", [erlang:system_info(otp_release)]),
        halt(0)
    catch Class:Reason:Stack ->
        io:format("~p~n", [{Class, Reason, Stack}]),
        halt(1)
    end.

%% ---- virtual time ----

now(Unit) -> erlang:convert_time_unit(now_ms(), millisecond, Unit).

now_ms() -> atomics:get(persistent_term:get(?MODULE), 1).

set_ms(Ms) -> atomics:put(persistent_term:get(?MODULE), 1, Ms).

use_virtual_time() ->
    {ok, {supervisor, [{abstract_code, {raw_abstract_v1, Forms}}]}} =
        beam_lib:chunks(code:which(supervisor), [abstract_code]),
    {Changed, 1} = redirect(Forms, 0),
    {ok, supervisor, Beam} = compile:forms(Changed, []),
    true = code:unstick_mod(supervisor),
    {module, supervisor} = code:load_binary(supervisor, "supervisor with virtual time", Beam).

redirect({call, Line, {remote, L, {atom, _, erlang}, {atom, _, monotonic_time}}, Args}, Count) ->
    {{call, Line, {remote, L, {atom, L, ?MODULE}, {atom, L, now}}, Args}, Count + 1};
redirect(Form, Count) when is_tuple(Form) ->
    {List, Total} = redirect(tuple_to_list(Form), Count),
    {list_to_tuple(List), Total};
redirect([Head | Tail], Count) ->
    {NewHead, Some} = redirect(Head, Count),
    {NewTail, Total} = redirect(Tail, Some),
    {[NewHead | NewTail], Total};
redirect(Form, Count) ->
    {Form, Count}.

%% ---- the tree ----

%% A child: {Name, with_tree | on_demand, Restart, Intensity, Period, Significant}.
start_supervisor(What) -> supervisor:start_link(?MODULE, What).

init({process, {Intensity, Period}, Children}) ->
    Root = #{id => root, start => {?MODULE, start_supervisor, [{root, Children}]},
             restart => transient, significant => true, type => supervisor},
    {ok, {#{intensity => Intensity, period => Period, auto_shutdown => any_significant}, [Root]}};
init({root, Children}) ->
    {ok, {#{intensity => 0, period => 1, auto_shutdown => any_significant},
          [own_supervisor(Child) || {_, with_tree, _, _, _, _} = Child <- Children]}};
init({child, {_, _, _, Intensity, Period, _} = Child}) ->
    {ok, {#{intensity => Intensity, period => Period}, [worker(Child)]}};
init({members, Members}) ->
    {ok, {#{}, Members}}.

own_supervisor({Name, _, _, _, _, Significant} = Child) ->
    #{id => Name, start => {?MODULE, start_supervisor, [{child, Child}]},
      restart => transient, significant => Significant, type => supervisor}.

worker({Name, _, Restart, _, _, _}) ->
    #{id => Name, start => {?MODULE, start_worker, [Name]}, restart => Restart}.

%% Fails as often as the schedule says; each failing start takes its time.
start_worker(Name) ->
    ets:update_counter(attempts, Name, 1, {Name, 0}),
    case ets:take(failures, Name) of
        [{Name, [TakesMs | More]}] ->
            ets:insert(failures, {Name, More}),
            set_ms(now_ms() + TakesMs),
            {error, cannot_start};
        _ ->
            {ok, spawn_link(fun() -> receive {'end', Reason} -> exit(Reason) end end)}
    end.

%% ---- restarts: {schedule, {Intensity, Period}, Children, Steps} ----

run("restarts", {schedule, Trees, Children, Steps}) ->
    set_ms(0),
    ets:delete_all_objects(attempts),
    {ok, Process} = start_supervisor({process, Trees, Children}),
    Line = steps(Steps, Process, Children, 1),
    exit(Process, shutdown),
    receive {'EXIT', Process, _} -> ok end,
    Line;

%% ---- shutdown: {shutdown, [{Name, BudgetMs, obeys | hangs}]}, in the order of starting ----

run("shutdown", {shutdown, Members}) ->
    Self = self(),
    Specs = [#{id => Name, start => {?MODULE, start_member, [Self, Name, Budget, How]}, shutdown => Budget}
             || {Name, Budget, How} <- Members],
    {ok, Supervisor} = start_supervisor({members, Specs}),
    Pids = [{Name, Pid} || {Name, Pid, _, _} <- supervisor:which_children(Supervisor)],
    Monitors = [{monitor(process, Pid), Name} || {Name, Pid} <- Pids],
    exit(Supervisor, shutdown),
    receive {'EXIT', Supervisor, shutdown} -> ok end,
    lists:join(" ", [io_lib:format("~s:~s", [Name, Reason]) || {Name, Reason} <- ends(Monitors)]).

ends([]) -> [];
ends(Monitors) ->
    receive {'DOWN', Monitor, process, _, Reason} ->
        {value, {_, Name}, Others} = lists:keytake(Monitor, 1, Monitors),
        [{Name, Reason} | ends(Others)]
    end.

start_member(_, _, _, How) ->
    {ok, spawn_link(fun() -> process_flag(trap_exit, How =:= hangs), receive never -> ok end end)}.

%% ---- the steps of a schedule, and what is seen after each ----

steps([], _, _, _) -> [];
steps([Step | More], Process, Children, Trees) ->
    set_ms(max(now_ms(), element(2, Step))),
    Fresh = step(Step, Process, Children),
    ets:delete_all_objects(failures),
    case find(Process, root) of
        Root when is_pid(Root) ->
            Now = Trees + Fresh,
            Seen = [[integer_to_list(attempts(Name)), state(Root, Name), " "] || {Name, _, _, _, _, _} <- Children],
            [Seen, integer_to_list(Now), $; | steps(More, Process, Children, Now)];
        _ ->
            [[[integer_to_list(attempts(Name)), " "] || {Name, _, _, _, _, _} <- Children], "over"]
    end.

attempts(Name) -> ets:update_counter(attempts, Name, 0, {Name, 0}).

state(Root, Name) ->
    case find(Root, Name) of
        none -> "-";
        undefined -> "!";
        Supervisor -> case find(Supervisor, Name) of Pid when is_pid(Pid) -> "+"; _ -> "-" end
    end.

step({'end', _, Name, Reason, Failures}, Process, _) ->
    Root = find(Process, root),
    case find(Root, Name) of
        Supervisor when is_pid(Supervisor) ->
            case find(Supervisor, Name) of
                Pid when is_pid(Pid) ->
                    ets:insert(failures, {Name, Failures}),
                    case Reason of killed -> exit(Pid, kill); _ -> Pid ! {'end', Reason} end,
                    down =:= settled(Supervisor, Name, Pid) andalso
                        down =:= settled(Root, Name, Supervisor) andalso settled(Process, root, Root);
                _ -> ok
            end;
        _ -> ok
    end,
    0;
step({start, _, Name, Failures}, Process, Children) ->
    Child = lists:keyfind(Name, 1, Children),
    Root = find(Process, root),
    ets:insert(failures, {Name, Failures}),
    case find(Root, Name) of
        none -> supervisor:start_child(Root, own_supervisor(Child));
        undefined -> supervisor:restart_child(Root, Name);
        Supervisor ->
            case find(Supervisor, Name) of
                none -> supervisor:start_child(Supervisor, worker(Child));
                undefined -> supervisor:restart_child(Supervisor, Name);
                _ -> ok
            end
    end,
    0;
step({stop, _, Name}, Process, _) ->
    case find(find(Process, root), Name) of
        Supervisor when is_pid(Supervisor) -> supervisor:terminate_child(Supervisor, Name);
        _ -> ok
    end,
    0;
step({crash_root, _}, Process, _) ->
    Root = find(Process, root),
    Supervisors = [Pid || {_, Pid, _, _} <- supervisor:which_children(Root), is_pid(Pid)],
    Workers = [Pid || S <- Supervisors, {_, Pid, _, _} <- supervisor:which_children(S), is_pid(Pid)],
    Monitors = [monitor(process, Pid) || Pid <- Supervisors ++ Workers],
    exit(Root, kill),
    [receive {'DOWN', Monitor, _, _, _} -> ok end || Monitor <- Monitors],
    case settled(Process, root, Root) of down -> 0; _ -> 1 end.

%% What the supervisor says of it once it has dealt with the end of Old.
settled(Supervisor, Id, Old) ->
    case find(Supervisor, Id) of
        Old -> erlang:yield(), settled(Supervisor, Id, Old);
        restarting -> erlang:yield(), settled(Supervisor, Id, Old);
        Other -> Other
    end.

find(Supervisor, Id) ->
    try lists:keyfind(Id, 1, supervisor:which_children(Supervisor)) of
        {Id, Found, _, _} -> Found;
        false -> none
    catch exit:_ -> down
    end.
