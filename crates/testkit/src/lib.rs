//! vitalmesh-testkit
