//! The stock prototype as a program of its own, with the allocator that it would have.
#![expect(clippy::unwrap_used, reason = "a prototype fails by panicking")]

use std::io::Read;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{}", runtime.block_on(vitalmesh_tests::stock()));
    // Until standard input ends, which it does with the parent.
    let _ = std::io::stdin().read(&mut [0]);
}
