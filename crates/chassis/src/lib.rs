//! vitalmesh-chassis
