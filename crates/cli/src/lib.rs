//! vitalmesh-cli
