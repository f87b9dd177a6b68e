#!/usr/bin/env bash
# Installs what is missing on Debian or Ubuntu for one purpose, and says what it does:
#
#   tests/install.sh build     a C and C++ compiler, cmake and libclang (for AWS-LC), Rust
#   tests/install.sh test      that, and what the tests use: libsrtp2, Node.js, Chromium, Firefox, ffmpeg, GStreamer, ...
#   tests/install.sh book      what is built with, what the book's commands use, and mdBook
#   tests/install.sh fuzz      what is built with, and cargo-fuzz
#   tests/install.sh count     what is built with, and valgrind
#
# Packages come from apt (with sudo when not root), Rust from rustup. What is there already is left alone; when nothing is
# missing, nothing is run. On another distribution it names what is missing and stops.
set -euo pipefail
cd "$(dirname "$0")/.."

MDBOOK_VERSION=0.5.4
NODE_MAJOR=18

main() {
  case "${1:-}" in
    build) need_build ;;
    test) need_build; need_test ;;
    book) need_build; need_book ;;
    fuzz) need_build ;;
    count) need_build; have valgrind || packages+=(valgrind) ;;
    *) fail "usage: tests/install.sh build|test|book|fuzz|count" ;;
  esac
  install_packages
  install_rust
  case "$1" in
    test) install_lints; check_node; check_chromium ;;
    book) install_mdbook ;;
    fuzz) install_cargo_fuzz ;;
  esac
}

# --- What is needed, as apt packages -------------------------------------------------------------------------------------

packages=()

need_build() {
  have cc && have c++ && have make || packages+=(build-essential)
  have cmake || packages+=(cmake)
  have_libclang || packages+=(libclang-dev)
  have rustup || rust_is_new_enough || {
    have curl || packages+=(curl)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
  }
}

need_test() {
  have pkg-config || packages+=(pkg-config)
  have pkg-config && pkg-config --exists libsrtp2 || packages+=(libsrtp2-dev)
  have openssl || packages+=(openssl)
  have ffmpeg || packages+=(ffmpeg)
  have gst-launch-1.0 || packages+=(gstreamer1.0-tools)
  have_package gstreamer1.0-plugins-good || packages+=(gstreamer1.0-plugins-good)
  have_package gstreamer1.0-plugins-bad || packages+=(gstreamer1.0-plugins-bad)
  have ip || packages+=(iproute2)
  have unshare || packages+=(util-linux)
  have strace || packages+=(strace)
  have node || packages+=(nodejs)
  have npm || packages+=(npm)
  find_chromium >/dev/null || packages+=("$(chromium_package)")
  # Elsewhere it has other names, or is a snap, which the tests can't use: they are skipped there.
  have firefox-esr || have firefox || [ "$(distribution)" != debian ] || packages+=(firefox-esr)
}

# What the pages' commands use.
need_book() {
  nc -h 2>&1 | grep -q OpenBSD || packages+=(netcat-openbsd)
  have socat || packages+=(socat)
  have strace || packages+=(strace)
  have tshark || packages+=(tshark)
  have ss || packages+=(iproute2)
}

have() { type -P "$1" >/dev/null; }

have_package() { have dpkg-query && dpkg-query --show --showformat='${Status}' "$1" 2>/dev/null | grep -q "ok installed"; }

# bindgen loads libclang by itself from one of these places, or from LIBCLANG_PATH. (libclang-cpp.so is another library.)
have_libclang() {
  local place
  for place in "${LIBCLANG_PATH:-/nonexistent}" "/usr/lib/llvm-*/lib" "/usr/lib/*" "/usr/lib" "/usr/lib64"; do
    compgen -G "$place/libclang.so*" >/dev/null || compgen -G "$place/libclang-[0-9]*.so*" >/dev/null && return
  done
  return 1
}

# The browser that the tests start: the variable CHROMIUM_BIN, or one of the usual names.
find_chromium() {
  local name path
  for name in "${CHROMIUM_BIN:-}" chromium chromium-browser google-chrome-stable google-chrome; do
    if path=$(type -P "${name:-/nonexistent}") && ! is_snap_stub "$path"; then
      echo "$path"
      return
    fi
  done
  return 1
}

# Before its snap is installed, Ubuntu's /usr/bin/chromium-browser is a script that only asks for the snap.
is_snap_stub() { [ ! -e /snap/bin/chromium ] && head --bytes=4096 "$1" | grep --quiet --text "snap install chromium"; }

chromium_package() { if [ "$(distribution)" = ubuntu ]; then echo chromium-browser; else echo chromium; fi; }

distribution() { (. /etc/os-release 2>/dev/null && echo "${ID:-unknown}") || echo unknown; }

# --- Installing it ------------------------------------------------------------------------------------------------------

install_packages() {
  [ ${#packages[@]} -gt 0 ] || return 0
  have apt-get || fail "missing: ${packages[*]} (Debian's names). Install them with this system's package manager."
  say "installing with apt: ${packages[*]}"
  if [[ " ${packages[*]} " == *" chromium-browser "* ]]; then
    say "Ubuntu has Chromium as a snap only: its package chromium-browser installs that, which takes a running snapd."
    say "Where there is none, install another Chromium or Chrome and name it in the variable CHROMIUM_BIN."
  fi
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || fail "neither root nor sudo. As root: apt-get install ${packages[*]}"
    root=(sudo)
  fi
  "${root[@]}" apt-get update --quiet
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "${packages[@]}"
}

# The oldest Rust that the workspace builds with, as major.minor.
required_rust() { sed -n 's/^rust-version = "\([0-9.]*\)"$/\1/p' Cargo.toml; }

rust_is_new_enough() {
  have cargo || return 1
  local version
  version=$(cargo --version | cut -d' ' -f2)
  [ "$(printf '%s\n%s\n' "$(required_rust)" "$version" | sort --version-sort | head -n 1)" = "$(required_rust)" ]
}

install_rust() {
  if ! rust_is_new_enough; then
    if have rustup; then
      say "updating Rust with rustup: $(required_rust) or newer is needed"
      rustup update stable
      rustup default stable
    else
      say "installing Rust $(required_rust) or newer with rustup into ~/.cargo and ~/.rustup"
      curl --proto '=https' --tlsv1.2 --silent --show-error --fail https://sh.rustup.rs |
        sh -s -- -y --no-modify-path --profile minimal --component clippy --component rustfmt ||
        fail "rustup could not be installed: see https://rustup.rs/, or install cargo $(required_rust) otherwise"
    fi
    export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    hash -r
    rust_is_new_enough || fail "$(type -P cargo) is $(cargo --version): $(required_rust) or newer is needed"
  fi
}

install_lints() {
  if ! have cargo-clippy || ! have cargo-fmt; then
    have rustup || fail "cargo has no clippy or no rustfmt. Debian's packages: rust-clippy, rustfmt"
    say "adding clippy and rustfmt with rustup"
    rustup component add clippy rustfmt
  fi
}

install_mdbook() {
  if ! have mdbook || [ "$(mdbook --version)" != "mdbook v$MDBOOK_VERSION" ]; then
    say "installing mdBook $MDBOOK_VERSION with cargo, which takes some minutes"
    cargo install --locked --version "$MDBOOK_VERSION" mdbook
  fi
}

install_cargo_fuzz() {
  have cargo-fuzz || {
    say "installing cargo-fuzz with cargo, which takes some minutes"
    cargo install --locked cargo-fuzz
  }
}

check_node() {
  local major
  major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
  [ "$major" -ge "$NODE_MAJOR" ] ||
    fail "Node.js $NODE_MAJOR or newer is needed, $(type -P node) is $(node --version): see https://nodejs.org/"
}

check_chromium() {
  find_chromium >/dev/null || fail "there is no Chromium that starts: install one and name it in the variable CHROMIUM_BIN"
}

say() { echo "install: $*" >&2; }
fail() { say "$*"; exit 1; }

main "$@"
