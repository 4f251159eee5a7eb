#!/usr/bin/env bash
# Stops exactly the processes up.sh started (pid + start time recorded in $SLURM_ROOT/run/pids).  --purge also removes $SLURM_ROOT.
set -uo pipefail
ROOT=${SLURM_ROOT:-${TMPDIR:-/tmp}/slurm-local}; export SLURM_CONF=$ROOT/slurm.conf
alive() { # pid starttime: same process and not a zombie (pid 1 here reaps orphans only every ~2 s)
  local s; s=$(sed 's/.*) //' /proc/$1/stat 2>/dev/null) || return 1; set -- "$1" "$2" $s; [ "$3" != Z ] && [ "${22}" = "$2" ]; }
if [ -s "$ROOT/run/pids" ]; then
  read -r _ cp cs < <(grep '^slurmctld ' "$ROOT/run/pids" || echo - 0 0)
  if alive "$cp" "$cs"; then   # jobs first, so that no slurmstepd is left behind
    scancel --me 2>/dev/null; for _ in $(seq 100); do [ -z "$(squeue -h 2>/dev/null)" ] && break; sleep 0.1; done
  fi
  for want in slurmd slurmctld slurmdbd mariadbd munged; do    # slurmd before slurmctld: alone it can take 10 s to stop
    while read -r n p s; do
      case $n in $want|$want.*) ;; *) continue;; esac
      alive "$p" "$s" || continue
      kill "$p"; for _ in $(seq 150); do alive "$p" "$s" || break; sleep 0.1; done
      alive "$p" "$s" && { echo "slurm down: $n ($p) did not stop in 15 s, killed" >&2; kill -9 "$p"; }
    done <"$ROOT/run/pids"
  done
  rm -f "$ROOT/run/pids"
fi
[ "${1:-}" = --purge ] && [ -f "$ROOT/.started_by_tests" ] && rm -rf -- "$ROOT"
exit 0
