//! All endings of all types of calls, on both sides, over HTTP/2 in memory: a tonic client and
//! server, or a hand-written peer, and the complete scrape. `M…` are the acceptance cases of the
//! metrics contract.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::disallowed_types, reason = "compares with real time")]

mod abandoned;
mod body_ends;
mod caller;
mod cardinality;
mod client;
mod client_deadlines;
mod codec;
#[cfg(feature = "connections")]
mod connections;
mod conventions;
mod created;
mod deadlines;
mod descriptors;
mod duplex;
mod echo;
mod endings;
mod excluded;
mod exemplars;
mod expect;
mod expositions;
mod failures;
mod formats;
mod gone;
mod handles;
mod in_flight;
mod labels;
mod layers;
mod limits;
mod names;
mod native;
mod options;
mod panics;
mod paths;
mod peers;
mod registrations;
mod registries;
mod reset_flags;
mod resets;
mod scrapes;
mod served;
mod server;
mod stack;
mod twice;
mod unknown;
mod web;
mod wire;
mod zeros;
