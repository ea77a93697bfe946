//! vitalmesh-edge
