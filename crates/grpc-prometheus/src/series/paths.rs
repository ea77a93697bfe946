//! A map from paths to what they lead to; it never changes once it is made.

use std::{collections::HashMap, fmt};

pub(crate) struct Paths<V> {
    /// A power of two, at least twice as many as there are paths: each search ends at an empty one.
    places: Box<[Place<V>]>,
}

type Place<V> = Option<(Box<str>, V)>;

type Block = [u8; 16];

/// Odd, and their bits are mixed.
const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

// === impl Paths ===

impl<V> Paths<V> {
    /// What the whole path leads to.
    #[inline]
    pub(crate) fn get(&self, path: &str) -> Option<&V> {
        let start = hash(path.as_bytes()) as usize;
        for step in 0..self.places.len() {
            let (known, value) = self.place(start, step).as_ref()?;
            if equal(known.as_bytes(), path.as_bytes()) {
                return Some(value);
            }
        }
        None
    }

    fn place(&self, start: usize, step: usize) -> &Place<V> {
        &self.places[start.wrapping_add(step) & (self.places.len() - 1)]
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let places = self.places.iter().flatten();
        places.map(|(path, _)| &**path)
    }
}

impl<V> From<HashMap<Box<str>, V>> for Paths<V> {
    fn from(map: HashMap<Box<str>, V>) -> Self {
        let count = (map.len() * 2).next_power_of_two().max(2);
        let mut places: Box<[_]> = (0..count).map(|_| None).collect();
        for (path, value) in map {
            let start = hash(path.as_bytes()) as usize;
            let mut at = (0..count).map(|step| start.wrapping_add(step) & (count - 1));
            if let Some(free) = at.find(|at| places[*at].is_none()) {
                places[free] = Some((path, value));
            }
        }
        Self { places }
    }
}

impl<V> fmt::Debug for Paths<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys()).finish()
    }
}

/// Nobody can fill a map with collisions, since all names come from the program: speed is all that
/// counts here.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    match bytes.last_chunk() {
        // The last sixteen bytes, some of them again: to look at an odd number of bytes costs more.
        Some(last) => {
            let (blocks, _) = bytes.as_chunks();
            for block in blocks.iter().chain([last]) {
                hash = hash.rotate_left(7) ^ mix(block);
            }
        }
        None => {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(FACTORS[0]);
            }
        }
    }
    hash ^ (hash >> 32)
}

#[inline]
fn mix(block: &Block) -> u64 {
    let block = u128::from_le_bytes(*block);
    // No truncation: the halves.
    let [low, high] = [block as u64, (block >> 64) as u64];
    let product = u128::from(low ^ FACTORS[0]) * u128::from(high ^ FACTORS[1]);
    product as u64 ^ (product >> 64) as u64
}

/// Sixteen bytes at a time: paths are too short for the call of a function that compares.
#[inline]
fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (Some(last), Some(other)) = (a.last_chunk::<16>(), b.last_chunk()) else {
        return a == b;
    };
    let (a, b) = (a.as_chunks::<16>().0, b.as_chunks().0);
    last == other && a.iter().zip(b).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn methods_that_differ_in_their_last_letters_are_spread_over_the_map() {
        for service in [
            "/a.S/",
            "/package.v1.Service/",
            "/a.longer.package.v1.Service/",
        ] {
            let letters = || 'A'..='Z';
            let names = letters().flat_map(|a| letters().map(move |b| format!("Get{a}{b}")));
            let places = names.map(|name| hash(format!("{service}{name}").as_bytes()) % 1_024);
            let places: HashSet<_> = places.collect();
            // 676 dice of 1,024 sides show 495 numbers on average.
            assert!(places.len() > 400, "{service} {}", places.len());
        }
    }

    /// Short and long ones, and some that differ in one block of sixteen bytes alone.
    const PATH: &str = "[a-c/]{0,40}|(a{16}|ba{15}|a{15}b){1,3}[ab]?";

    proptest! {
        #[test]
        fn it_finds_what_a_hash_map_finds(
            paths in prop::collection::hash_set(PATH, 0..60),
            others in prop::collection::vec(PATH, 0..60),
        ) {
            let map: HashMap<Box<str>, usize> = paths.iter().map(|path| path.as_str().into()).zip(0..).collect();
            let frozen = Paths::from(map.clone());
            for path in paths.iter().chain(&others) {
                prop_assert_eq!(frozen.get(path), map.get(path.as_str()));
            }
            prop_assert_eq!(frozen.keys().count(), map.len());
        }
    }
}
