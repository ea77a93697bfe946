//! The mesh's gRPC contracts: generated types, clients, servers and descriptor sets.
//!
//! One line a contract, with its versions where there is more than v1; a module holds what the
//! file of the same name under `proto/` says, and `FILE_DESCRIPTOR_SET`, its encoded descriptors
//! with all that it imports.

macro_rules! contract {
    ($name:ident) => {
        contract!($name: v1);
    };
    ($name:ident: $($version:ident),+) => {
        #[doc = concat!("`vitalmesh.", stringify!($name), "`")]
        pub mod $name {
            $(
                #[doc = concat!("`vitalmesh.", stringify!($name), ".", stringify!($version), "`")]
                pub mod $version {
                    include!(concat!(
                        env!("OUT_DIR"),
                        concat!("/vitalmesh.", stringify!($name), ".", stringify!($version), ".rs")
                    ));

                    /// The encoded `FileDescriptorSet` of this contract and its imports.
                    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(
                        env!("OUT_DIR"),
                        concat!("/vitalmesh/", stringify!($name), "/", stringify!($version), "/"),
                        concat!(stringify!($name), ".binpb")
                    ));
                }
            )+
        }
    };
}

contract!(bookstore);
contract!(counter);
contract!(heartbeat);
contract!(revert_name);
contract!(time);

/// The contracts that older clients speak, as files of the same name under `proto/legacy` say
/// them: encoded descriptor sets only, as the messages have the new contracts' form on the wire.
pub mod legacy {
    macro_rules! contract {
        ($constant:ident, $name:literal) => {
            #[doc = concat!("The encoded `FileDescriptorSet` of `", $name, ".proto`.")]
            pub const $constant: &[u8] =
                include_bytes!(concat!(env!("OUT_DIR"), "/legacy/", $name, ".binpb"));
        };
    }

    contract!(BOOK, "book");
    contract!(HEARTBEAT, "heartbeat");
    contract!(PYTHON_TO_PYTHON_SIMPLE, "python_to_python_simple");
    contract!(
        PYTHON_TO_PYTHON_TWO_WAY_STREAM,
        "python_to_python_two_way_stream"
    );
    contract!(PYTHON_TO_RUST_SIMPLE, "python_to_rust_simple");
    contract!(REVERT_NAME, "revert_name");
    contract!(TIME, "time");
}
