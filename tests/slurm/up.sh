#!/usr/bin/env bash
# Real single-machine SLURM (munge + mariadb + slurmdbd + slurmctld + slurmd), no systemd, loopback only.
# Idempotent; returns 0 once `sinfo` shows the node(s) idle. Then:  . "$SLURM_ROOT/env.sh"
# Knobs: SLURM_ROOT (state dir), SLURM_PORT (base of 4+ ports), SLURM_CPUS (default nproc; may exceed it),
#        SLURM_NODES (default 1; >1 starts that many slurmd), SLURM_GPUS (fake gpus per node, default 0)
set -euo pipefail
ROOT=${SLURM_ROOT:-${TMPDIR:-/tmp}/slurm-local}; PORT=${SLURM_PORT:-16817}
CPUS=${SLURM_CPUS:-$(nproc)}; NODES=${SLURM_NODES:-1}; GPUS=${SLURM_GPUS:-0}
H=$(hostname -s); CONF=$ROOT/slurm.conf; export SLURM_CONF=$CONF
tcp() { (exec 3<>/dev/tcp/127.0.0.1/$1) 2>/dev/null; }   # asked first: a client of a dead slurmctld retries for 9 s
idle() { tcp $PORT && [ "$(sinfo -h -N -o '%N %T' 2>/dev/null | sort -u | grep -cE ' (idle|mixed|allocated)$')" = "$NODES" ]; }
die() { echo "slurm up: $*" >&2; tail -n 5 "$ROOT"/log/* >&2 2>/dev/null || true; exit 1; }
[ "$(id -u)" = 0 ] || die "needs root"
if [ -f "$CONF" ] && idle && sacctmgr -n list cluster >/dev/null 2>&1; then echo "slurm already up: $CONF"; exit 0; fi
# Half-up or stopped: stop what is left and start from nothing (kept state would bring back ghost jobs and reuse job ids in sacct).
[ -d "$ROOT" ] && SLURM_ROOT=$ROOT bash "$(dirname "$0")/down.sh" --purge

# --- packages (8 + 3 MB) ---
need=(); for p in munge slurmctld slurmd slurm-client slurmdbd mariadb-server-core; do
  dpkg-query -W -f='${Status}' $p 2>/dev/null | grep -q 'ok installed' || need+=($p); done
if [ ${#need[@]} -gt 0 ]; then
  made=; [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; made=1; }
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/tmp/slurm_apt.log 2>&1 || { tail -20 /tmp/slurm_apt.log >&2; exit 1; }
  [ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
fi
getent ahostsv4 "$H" >/dev/null || echo "127.0.0.1 $H" >>/etc/hosts

# --- config ---
[ -z "$(ls -A "$ROOT" 2>/dev/null)" ] || die "$ROOT is not empty and not ours"
mkdir -p "$ROOT"/{run,log,state,spool,db/mysql}; chmod 755 "$ROOT" "$ROOT"/{run,log,state,spool}
cd "$ROOT"; : >.started_by_tests; : >run/pids; SOCK=$ROOT/run/munge.sock
[ -s munge.key ] || { (umask 077; head -c 128 /dev/urandom >munge.key); }
MEM=$(( $(awk '/MemTotal/{print $2}' /proc/meminfo) / 1024 * 9 / 10 / NODES )); MEM=$((MEM > 1024 ? MEM : 1024))
if [ "$NODES" = 1 ]; then NAMES=$H; NLINE="NodeName=$H NodeAddr=127.0.0.1 Port=$((PORT+10))"
else NAMES=$(seq -f 'n%g' "$NODES"); NLINE="NodeName=n[1-$NODES] NodeHostname=$H NodeAddr=127.0.0.1 Port=[$((PORT+10))-$((PORT+9+NODES))]"; fi
GRES=; : >gres.conf
if [ "$GPUS" -gt 0 ]; then GRES=" Gres=gpu:$GPUS"; for i in $(seq 0 $((GPUS-1))); do mknod -m 666 run/gpu$i c 1 3; done
  echo "Name=gpu File=$ROOT/run/gpu[0-$((GPUS-1))]" >gres.conf; fi
cat >slurm.conf <<CONF_END
ClusterName=iitlab
SlurmctldHost=$H(127.0.0.1)
SlurmctldPort=$PORT
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CredType=cred/munge
# cred_expire is also how long a requeued job waits before it may start again (default 120 s)
AuthInfo=socket=$SOCK,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$ROOT/state
SlurmdSpoolDir=$ROOT/spool/%n
SlurmctldPidFile=$ROOT/run/slurmctld.pid
SlurmdPidFile=$ROOT/run/slurmd.%n.pid
SlurmctldLogFile=$ROOT/log/slurmctld.log
SlurmdLogFile=$ROOT/log/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT+2))
AccountingStoragePass=$SOCK
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=$(( MEM / CPUS < 1024 ? MEM / CPUS : 1024 ))
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
GresTypes=gpu
MailProg=/bin/true
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
CompleteWait=0
MinJobAge=300
SlurmctldTimeout=60
SlurmdTimeout=60
$NLINE CPUs=$CPUS RealMemory=$MEM State=UNKNOWN$GRES
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF_END
(umask 077; cat >slurmdbd.conf <<CONF_END
AuthType=auth/munge
AuthInfo=socket=$SOCK
DbdHost=$H
DbdAddr=127.0.0.1
DbdPort=$((PORT+2))
CommunicationParameters=NoInAddrAny
SlurmUser=root
LogFile=$ROOT/log/slurmdbd.log
PidFile=$ROOT/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((PORT+3))
StorageUser=root
StorageLoc=slurm_acct
CONF_END
)
echo "export SLURM_CONF=$CONF" >env.sh

# --- start: foreground flags + setsid, so that $! is the daemon's own pid; pid + kernel start time are recorded ---
start() { local n=$1; shift
  ( for f in /proc/self/fd/*; do f=${f##*/}; [ "$f" -le 2 ] || eval "exec $f>&-" 2>/dev/null || :; done   # no caller's pipe or lock kept open
    exec setsid "$@" ) </dev/null >>log/$n.out 2>&1 & local p=$!
  echo "$n $p $(sed 's/.*) //' /proc/$p/stat | cut -d' ' -f20)" >>run/pids; }
waitfor() { local t=$1 what=$2; shift 2; for _ in $(seq $((t*10))); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; die "no $what after $t s"; }

start munged /usr/sbin/munged --foreground --key-file=$ROOT/munge.key --socket=$SOCK --pid-file=$ROOT/run/munged.pid --seed-file=$ROOT/run/munged.seed --log-file=$ROOT/log/munged.log
DBOPT=(--no-defaults --user=root --datadir=$ROOT/db --skip-grant-tables --innodb-log-file-size=4M --innodb-data-file-path=ibdata1:4M:autoextend
       --innodb-temp-data-file-path=ibtmp1:4M:autoextend --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900)
if [ ! -d db/slurm_acct ]; then   # mariadb-install-db needs client tools; this is all it does that slurmdbd needs (mysql.proc)
  { echo 'use mysql;'; cat /usr/share/mysql/mysql_system_tables.sql; echo 'create database slurm_acct;'; } |
    mariadbd "${DBOPT[@]}" --bootstrap >log/bootstrap.out 2>&1 || { cat log/bootstrap.out >&2; die "mariadb bootstrap"; }
fi
start mariadbd /usr/sbin/mariadbd "${DBOPT[@]}" --socket=$ROOT/run/mariadb.sock --pid-file=$ROOT/run/mariadb.pid --bind-address=127.0.0.1 --port=$((PORT+3)) --log-error=$ROOT/log/mariadb.log
waitfor 30 munge munge -S "$SOCK" -n
waitfor 30 mariadb tcp $((PORT+3))
start slurmdbd /usr/sbin/slurmdbd -D
waitfor 30 slurmdbd tcp $((PORT+2))
sacctmgr -n list cluster format=cluster 2>/dev/null | grep -qw iitlab || sacctmgr -i add cluster iitlab >log/sacctmgr.out 2>&1 || die "sacctmgr add cluster"
start slurmctld /usr/sbin/slurmctld -D -f "$CONF"
waitfor 30 slurmctld tcp $PORT
for n in $NAMES; do mkdir -p spool/$n; if [ "$NODES" = 1 ]; then start slurmd /usr/sbin/slurmd -D -f "$CONF"; else start slurmd.$n /usr/sbin/slurmd -D -f "$CONF" -N $n; fi; done
waitfor 30 "idle node" idle
sinfo
