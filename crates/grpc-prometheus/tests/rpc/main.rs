//! Every ending of every call kind on both sides, over HTTP/2 in memory: a real tonic client and a
//! real tonic server, or a hand-made peer, and the whole scrape. `M…` are the acceptance cases of
//! the metrics contract.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::disallowed_types, reason = "compares with real time")]

mod abandoned;
mod caller;
mod client;
mod codec;
mod config;
#[cfg(feature = "connections")]
mod connections;
mod deadlines;
mod duplex;
mod echo;
mod endings;
mod exemplars;
mod expect;
mod expositions;
mod failures;
mod formats;
mod gone;
mod handles;
mod labels;
mod layers;
mod limits;
mod names;
mod paths;
mod peers;
mod resets;
mod served;
mod server;
mod stack;
mod unknown;
mod web;
mod wire;
