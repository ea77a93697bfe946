# What CI runs, and what you run: `just --list`.

set shell := ["bash", "-euo", "pipefail", "-c"]

# What the metrics library has and the mesh does not use.
features := "grpc-prometheus/connections"

# Everything that needs no Docker.
default: fmt lint doc test check-each side-crates

fmt:
    cargo fmt --all --check

lint:
    cargo clippy --workspace --all-targets --features {{ features }} --locked -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

test:
    cargo test --workspace --features {{ features }} --locked

# Each crate alone, so that no feature is there only because another crate asked for it.
check-each:
    for package in $(cargo metadata --no-deps --offline --format-version 1 | jq -r '.packages[].name'); do \
        cargo check --quiet --locked --package "$package"; \
    done
    cargo check --quiet --locked --package grpc-prometheus --no-default-features

# They are workspaces of their own. The targets are checked without libFuzzer, so on stable.
# The benches and fuzz targets of grpc-prometheus: the same checks, and each bench once.
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

# The whole mesh in this process; see also `just up --prometheus`.
up *flags:
    cargo run --release -- up {{ flags }}

# A real client from another ecosystem.
python:
    tests/python/run target/debug

# What the bookstore's OpenAPI document allows and what it does not, asked by schemathesis.
openapi:
    tests/schemathesis/run target/debug

# Memory and cancel of streams; `just streams --programs target/release` for ten million.
streams *flags='--programs target/debug --most 300000':
    tests/streams {{ flags }}

# The contracts: buf's lint, and nothing broken since the last release. Needs node and npm.
protos:
    tests/buf lint proto
    tests/buf breaking proto --against proto/baseline.binpb

# Makes the contracts as they are the released ones: part of a release, see docs/API_VERSIONS.md.
release-protos:
    tests/buf build proto --exclude-source-info --output proto/baseline.binpb

# Writes everything that is generated from the list of services and the contracts.
generate:
    cargo test --quiet --package vitalmesh-tests --test generated --test reference -- --ignored

# The metrics library's pages in the parsers that others wrote. Needs promtool.
parsers:
    packages=$(mktemp -d); trap 'rm -rf "$packages"' EXIT; \
    python3 -m pip install --quiet --disable-pip-version-check --target "$packages" prometheus_client==0.26.0; \
    PYTHONPATH="$packages" cargo test --locked --package grpc-prometheus --test reference_parsers -- --ignored

# Configuration and pages, as Prometheus reads them.
promtool:
    tests/promtool

# The guided tour: faults, the alert that they fire, green again. Needs prometheus and the mesh's own
# ports.
demo *flags:
    cargo run --locked -- demo {{ flags }}

# Rules and dashboards: their lints and tests, and every query against the running services. Needs
# prometheus and promtool.
dashboards:
    tests/dashboards/run

# Every dashboard as a page, and with Chromium as a picture, with the values of a running Prometheus.
pictures url="http://127.0.0.1:9090" folder="target/dashboards":
    python3 tests/dashboards/render {{ url }} {{ folder }}

# docker-compose.yml, built and run. Needs Docker, or makes what it needs as root in CI.
containers:
    .ci/docker-bases
    tests/containers/run

# The numbers in the README: this mesh beside a stock tonic and axum one, in alternated pairs.
load *flags:
    cargo bench --package vitalmesh-tests --bench proxy -- {{ flags }}
