//! The series: counters per method and label set, in shards per thread.

mod bounds;
mod buckets;
mod cells;
mod config;
mod connections;
mod conventions;
mod exemplar;
mod families;
pub(crate) mod labels;
mod layout;
mod learned;
mod methods;
mod native;
mod paths;
mod shard;
mod spelling;
mod store;

pub use self::{
    buckets::Buckets,
    config::ZeroInit,
    conventions::RpcConventions,
    exemplar::TraceId,
    spelling::{CodeLabel, LabelStyle},
};

pub(crate) use self::{
    bounds::canonical,
    cells::{Reading, Series},
    config::Config,
    connections::Connections,
    exemplar::Exemplar,
    families::{Family, Side},
    labels::ExtraLabel,
    layout::Histograms,
    methods::{Entry, Filter, Method, MethodSpec, MethodTable, Selection},
    native::{NativeBuckets, SCHEMA},
    spelling::{CODES, Kind},
    store::{Schema, Store, TypeConflict, check_types},
};
