# Installs PostgreSQL's programs from the distribution, as root, without the package making and starting a server of its
# own: while this runs, its settings for that say no. They are put back, for whoever wants such a server later.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
settings=/etc/postgresql-common/createcluster.d
made=
[ -d "$settings" ] || made=$settings
mkdir -p "$settings"
trap 'rm -f "$settings/nexus.conf"; [ -z "$made" ] || rmdir "$made"' EXIT
trap 'exit 1' HUP INT TERM
echo "create_main_cluster = false" >"$settings/nexus.conf"
# A broken third-party source must not stand in the way; if it matters, the installation fails and says so.
apt-get update -q || echo "apt-get update failed; trying with the package lists that are there"
apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 postgresql
