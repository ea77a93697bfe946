//! Why a method cannot answer an old one.

/// The first incompatibility between an old message and the one that replaces it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The new message does not have the field.
    #[error("field {field} is not in {message}; a request's may be reserved there to be ignored")]
    Missing {
        /// Name and number.
        field: String,
        /// The new message.
        message: String,
    },
    /// The number has another type or label in the new message.
    #[error("field {field} has another type or label in {message}")]
    Differs {
        /// Name and number.
        field: String,
        /// The new message.
        message: String,
    },
    /// The field is in a oneof in one of the messages, or in a oneof with other fields.
    #[error("field {field} is not in the same oneof in {message}")]
    Oneof {
        /// Name and number.
        field: String,
        /// The new message.
        message: String,
    },
    /// The reader rejects messages that the sender may send.
    #[error("field {field} is required in {message}, and may be absent in what it reads")]
    Required {
        /// Name and number.
        field: String,
        /// The reader's message.
        message: String,
    },
    /// The ends give different values to an absent field.
    #[error("field {field}, if absent, is {sent} in {sender} and read as {read} in {message}")]
    Default {
        /// Name and number.
        field: String,
        /// The sender's message.
        sender: String,
        /// The sender's value.
        sent: String,
        /// The reader's message.
        message: String,
        /// The reader's value.
        read: String,
    },
    /// Old callers of the field see a 0 as an absent field.
    #[error("field {field} has no presence in {message}: old callers read a 0 as absent")]
    Presence {
        /// Name and number.
        field: String,
        /// The new message.
        message: String,
    },
    /// The reader drops a value that the sender's enum has.
    #[error("field {field} can be {value}, which the closed enum {name} does not have")]
    EnumValue {
        /// Name and number.
        field: String,
        /// Name and number.
        value: String,
        /// The reader's enum.
        name: String,
    },
    /// The type is not in the descriptor sets.
    #[error("{name} is not in the descriptor set; build it with imports (--include_imports)")]
    Unknown {
        /// Its name.
        name: String,
    },
}

// === impl Mismatch ===

impl Mismatch {
    pub(super) fn unknown(name: &str) -> Self {
        Self::Unknown {
            name: name.to_owned(),
        }
    }
}
