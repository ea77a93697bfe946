//! The mesh's gRPC contracts: generated types, clients, servers and descriptor sets.
//!
//! One line a contract; a module holds what the file of the same name under `proto/` says,
//! and `FILE_DESCRIPTOR_SET`, its encoded descriptors with all that it imports.

macro_rules! contract {
    ($name:ident) => {
        #[doc = concat!("`vitalmesh.", stringify!($name), "`")]
        pub mod $name {
            #[doc = concat!("`vitalmesh.", stringify!($name), ".v1`")]
            pub mod v1 {
                include!(concat!(
                    env!("OUT_DIR"),
                    "/vitalmesh.",
                    stringify!($name),
                    ".v1.rs"
                ));

                /// The encoded `FileDescriptorSet` of this contract and its imports.
                pub const FILE_DESCRIPTOR_SET: &[u8] =
                    include_bytes!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".binpb"));
            }
        }
    };
}

contract!(bookstore);
contract!(counter);
contract!(heartbeat);
contract!(revert_name);
contract!(time);
