//! vitalmesh-revert-name
