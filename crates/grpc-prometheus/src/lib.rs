//! grpc-prometheus
