# Runs the server ("$2"...) of the directory "$1" as a child for as long as any process holds `users.lock`, then stops it.
# The kernel releases a lock when its process ends, however it ends, so nothing a test does leaves a server.
#
# `gate.lock` is held by whoever starts, joins or stops the server; `watchdog.lock` tells that a watchdog is alive.
# Waiting for `users.lock` happens without the gate, deciding with it: somebody may have come in between.
base=$1
shift
exec 7>>"$base/gate.lock" 8>>"$base/users.lock" 9>>"$base/watchdog.lock"
flock -n 9 || exit 1
# With setpriv the server ends with its watchdog, even when that is killed.
command -v setpriv >/dev/null && set -- setpriv --pdeathsig=INT -- "$@"
"$@" 7>&- 8>&- 9>&- &
while :; do
  flock -x 8
  flock -u 8
  flock -x 7
  flock -n -x 8 && break
  flock -u 7
done
read -r server <"$base/data/postmaster.pid" && kill -INT "$server"
wait
# In this order: who passes the gate must find that no watchdog is left.
exec 9>&-
exec 8>&-
