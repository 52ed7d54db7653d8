#!/usr/bin/env bash
# All targets under libFuzzer, one after the other: night.sh [SECONDS FOR EACH TARGET] [TARGET ...]
# Needs a nightly compiler and cargo-fuzz; README.md says more. The exit code is 1 if a target failed.
set -euo pipefail
cd "$(dirname "$0")/.."

# The environment replaces what `.cargo/config.toml` says, and cargo-fuzz sets it.
export RUSTFLAGS="--cfg tokio_unstable ${RUSTFLAGS:-}"

# The versions of the product; cargo adds what only the targets need.
[ -e fuzz/Cargo.lock ] || cp ../Cargo.lock fuzz/Cargo.lock

mapfile -t targets < <(cargo +nightly fuzz list)
[ "${#targets[@]}" -gt 0 ] || { echo "cargo fuzz lists no target" >&2; exit 1; }
seconds="${1:-$((8 * 3600 / ${#targets[@]}))}"
[[ "$seconds" =~ ^[1-9][0-9]*$ ]] || { echo "\`$seconds\` is no number of seconds" >&2; exit 64; }
[ "$#" -le 1 ] || targets=("${@:2}")

# The good inputs. A corpus that is there already keeps what libFuzzer has found.
cargo run --release -p assent-jepsen -- parsers --write-samples fuzz/corpus

failed=()
for target in "${targets[@]}"; do
  printf '\n== %s, %s s\n' "$target" "$seconds"
  # The longest input is that of `INPUT_BYTES_MAX`.
  cargo +nightly fuzz run "$target" -- -fork="$(nproc)" -max_total_time="$seconds" -max_len=98304 -timeout=10 \
    -rss_limit_mb=2048 || failed+=("$target")
done
if [ "${#failed[@]}" -gt 0 ]; then
  printf '\nfindings: %s; the inputs are in jepsen-like/fuzz/artifacts\n' "${failed[*]}" >&2
  exit 1
fi
