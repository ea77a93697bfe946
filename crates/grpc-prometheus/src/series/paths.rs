//! An immutable hash map from paths to values.

use std::{collections::HashMap, fmt};

pub(crate) struct PathMap<V> {
    /// The length is a power of two and at least twice the number of paths, so each search reaches
    /// an empty slot.
    slots: Box<[Slot<V>]>,
}

type Slot<V> = Option<(Box<str>, V)>;

type Block = [u8; 16];

/// Odd constants with well-mixed bits.
const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

// === impl PathMap ===

impl<V> PathMap<V> {
    /// The value of exactly this path.
    #[inline]
    pub(crate) fn get(&self, path: &str) -> Option<&V> {
        let start = hash(path.as_bytes()) as usize;
        for step in 0..self.slots.len() {
            let (known, value) = self.slot(start, step).as_ref()?;
            if equal(known.as_bytes(), path.as_bytes()) {
                return Some(value);
            }
        }
        None
    }

    fn slot(&self, start: usize, step: usize) -> &Slot<V> {
        &self.slots[start.wrapping_add(step) & (self.slots.len() - 1)]
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let slots = self.slots.iter().flatten();
        slots.map(|(path, _)| &**path)
    }
}

impl<V> From<HashMap<Box<str>, V>> for PathMap<V> {
    fn from(map: HashMap<Box<str>, V>) -> Self {
        let count = (map.len() * 2).next_power_of_two().max(2);
        let mut slots: Box<[_]> = (0..count).map(|_| None).collect();
        for (path, value) in map {
            let start = hash(path.as_bytes()) as usize;
            let mut at = (0..count).map(|step| start.wrapping_add(step) & (count - 1));
            if let Some(free) = at.find(|at| slots[*at].is_none()) {
                slots[free] = Some((path, value));
            }
        }
        Self { slots }
    }
}

impl<V> fmt::Debug for PathMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys()).finish()
    }
}

/// Fast, but not resistant to chosen collisions: all keys come from the program.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    match bytes.last_chunk() {
        // The last sixteen bytes overlap the block before; this is cheaper than a shorter block.
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
    // Takes the two halves.
    let [low, high] = [block as u64, (block >> 64) as u64];
    let product = u128::from(low ^ FACTORS[0]) * u128::from(high ^ FACTORS[1]);
    product as u64 ^ (product >> 64) as u64
}

/// Compares sixteen bytes at a time: for short paths this is faster than calling `memcmp`.
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
    fn methods_that_differ_in_their_last_letters_hash_to_different_slots() {
        for service in [
            "/a.S/",
            "/package.v1.Service/",
            "/a.longer.package.v1.Service/",
        ] {
            let letters = || 'A'..='Z';
            let names = letters().flat_map(|a| letters().map(move |b| format!("Get{a}{b}")));
            let slots = names.map(|name| hash(format!("{service}{name}").as_bytes()) % 1_024);
            let slots: HashSet<_> = slots.collect();
            // 676 random picks out of 1,024 hit 495 different ones on average.
            assert!(slots.len() > 400, "{service} {}", slots.len());
        }
    }

    /// Short and long paths, and paths that differ in a single block of sixteen bytes.
    const PATH: &str = "[a-c/]{0,40}|(a{16}|ba{15}|a{15}b){1,3}[ab]?";

    proptest! {
        #[test]
        fn it_finds_the_same_as_a_hash_map(
            paths in prop::collection::hash_set(PATH, 0..60),
            others in prop::collection::vec(PATH, 0..60),
        ) {
            let map: HashMap<Box<str>, usize> = paths.iter().map(|path| path.as_str().into()).zip(0..).collect();
            let frozen = PathMap::from(map.clone());
            for path in paths.iter().chain(&others) {
                prop_assert_eq!(frozen.get(path), map.get(path.as_str()));
            }
            prop_assert_eq!(frozen.keys().count(), map.len());
        }
    }
}
