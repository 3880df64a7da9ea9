# Stops a temporary server and removes its folders when nobody uses it any more.
# Arguments: a lock file that users hold, seconds it must stay free, the cluster, then the folders to remove.
exec 9<"$1" || exit
linger=$2 data=$3
shift 3
while flock --exclusive 9; do
    flock --unlock 9
    sleep "$linger"
    # Held until the end, so that a new user waits and then starts a server of its own.
    flock --exclusive --nonblock 9 || continue
    pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null)
    while [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$data" ]; do
        kill -QUIT "$pid"
        sleep 0.1
    done
    rm -rf "$@"
    exit
done
