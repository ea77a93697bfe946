//! vitalmesh-time
