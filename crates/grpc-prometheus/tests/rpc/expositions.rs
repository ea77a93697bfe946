//! An exposition, its registry, and other readers of the registry.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    thread,
};

use grpc_prometheus::{Error, Exposition, ServerMetrics};
use prometheus::{
    Registry, TextEncoder,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::{echo::echo_descriptor_set, expect::page};

fn register(exposition: &Exposition) -> Result<ServerMetrics, Error> {
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    builder.register(exposition)
}

fn gathered(registry: &Registry) -> Vec<String> {
    let text = TextEncoder::new().encode_to_string(&registry.gather());
    sorted(&text.unwrap())
}

fn sorted(page: &str) -> Vec<String> {
    let mut lines: Vec<_> = page.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A collector without metrics that runs a function when it is collected.
struct Act<F>(Desc, F);

impl<F: Fn() + Send + Sync> Collector for Act<F> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.1)();
        Vec::new()
    }
}

fn add(registry: &Registry, act: impl Fn() + Send + Sync + 'static) {
    let desc = Desc::new("act".into(), "Acts.".into(), Vec::new(), [].into());
    let collector = Act(desc.unwrap(), act);
    registry.register(Box::new(collector)).unwrap();
}

#[test]
fn clones_share_their_series_and_their_page() {
    let exposition = Exposition::default();
    let clone = exposition.clone();
    let first = register(&exposition).unwrap();
    let second = register(&clone).unwrap();
    let _open = second.connection(());
    assert_eq!(page(&exposition), page(&clone));
    assert!(page(&exposition).contains("grpc_server_connections 1\n"));
    assert_eq!(first.snapshot(), second.snapshot());
}

// The prometheus crate cannot compare registries.
#[test]
fn a_second_exposition_of_a_registry_shows_the_first_ones_series_and_cannot_have_their_names() {
    let registry = Registry::new();
    let first = Exposition::new(&registry);
    let metrics = register(&first).unwrap();
    let _open = metrics.connection(());
    let second = Exposition::new(&registry);
    let error = register(&second).unwrap_err();
    assert!(matches!(error, Error::Registry(_)), "{error:?}");
    assert_eq!(sorted(&page(&second)), sorted(&page(&first)));

    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    builder.namespace("other").register(&second).unwrap();
    assert!(page(&second).contains("\nother_grpc_server_started_total{"));
    assert_eq!(sorted(&page(&second)), sorted(&page(&first)));
}

#[test]
fn gathering_the_registry_shows_the_series_even_while_a_page_is_encoded() {
    let exposition = Exposition::default();
    register(&exposition).unwrap();
    let registry = exposition.registry().clone();
    let before = gathered(&registry);
    assert_eq!(before, sorted(&page(&exposition)));
    let (seen, nested) = (Arc::new(Mutex::new(None)), Mutex::new(()));
    let (gathered_meanwhile, during) = (Arc::clone(&seen), registry.clone());
    add(&registry, move || {
        // The other thread's gather calls this collector too.
        let Ok(_outermost) = nested.try_lock() else {
            return;
        };
        let other = thread::scope(|scope| scope.spawn(|| gathered(&during)).join());
        *gathered_meanwhile.lock().unwrap() = Some(other.unwrap());
    });
    assert_eq!(sorted(&page(&exposition)), before);
    assert_eq!(seen.lock().unwrap().take(), Some(before));
}

#[test]
fn a_collector_that_panics_in_a_scrape_leaves_the_series_in_the_registry() {
    let exposition = Exposition::default();
    register(&exposition).unwrap();
    let registry = exposition.registry().clone();
    let before = gathered(&registry);
    let panics = Arc::new(Mutex::new(true));
    let once = Arc::clone(&panics);
    add(&registry, move || {
        assert!(!std::mem::take(&mut *once.lock().unwrap()), "once");
    });
    catch_unwind(AssertUnwindSafe(|| page(&exposition))).unwrap_err();
    assert_eq!(gathered(&registry), before);
    assert_eq!(sorted(&page(&exposition)), before);
}
