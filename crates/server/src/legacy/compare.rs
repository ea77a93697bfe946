//! Compares the messages of two methods: what one end writes, the other must read as it was meant.

use std::collections::HashSet;

use super::contracts::{Contracts, Message};
use super::descriptor::Method;
use super::field::{Field, Kind, Presence, WELL_KNOWN};
use super::mismatch::Mismatch;

/// Who sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// The old caller.
    Request,
    /// The new method.
    Response,
}

/// The comparison of all messages in one direction.
#[derive(Debug)]
struct Comparison<'a> {
    direction: Direction,
    sender: &'a Contracts,
    reader: &'a Contracts,
    /// The pairs that are compared already, or further up.
    compared: HashSet<(String, String)>,
}

/// The messages that are compared.
#[derive(Clone, Copy)]
struct Pair<'a> {
    sender: &'a str,
    reader: &'a str,
}

/// Checks that the new method reads what the old caller sends, and writes what it expects.
///
/// A field that only the new messages have is harmless unless it is required: the old caller omits
/// it, or skips it. A new request may have presence where the old one has none; the new method then
/// reads a 0 of old callers as absent.
pub(super) fn compare(
    old: &Contracts,
    old_method: (&str, &Method),
    new: &Contracts,
    new_method: (&str, &Method),
) -> Result<(), Mismatch> {
    let (old_scope, old_method) = old_method;
    let (new_scope, new_method) = new_method;
    let mut request = Comparison::new(Direction::Request, old, new);
    request.types(
        &old.resolve(old_scope, &old_method.input_type),
        &new.resolve(new_scope, &new_method.input_type),
    )?;
    let mut response = Comparison::new(Direction::Response, new, old);
    response.types(
        &new.resolve(new_scope, &new_method.output_type),
        &old.resolve(old_scope, &old_method.output_type),
    )
}

// === impl Comparison ===

impl<'a> Comparison<'a> {
    fn new(direction: Direction, sender: &'a Contracts, reader: &'a Contracts) -> Self {
        Self {
            direction,
            sender,
            reader,
            compared: HashSet::new(),
        }
    }

    fn types(&mut self, sender: &str, reader: &str) -> Result<(), Mismatch> {
        let names = Pair { sender, reader };
        let pair = (sender.to_owned(), reader.to_owned());
        if !self.compared.insert(pair) {
            return Ok(());
        }
        match (self.sender.message(sender), self.reader.message(reader)) {
            (Some(sent), Some(read)) => self.messages(names, sent, read),
            _ if is_well_known(names) => Ok(()),
            (None, _) => Err(Mismatch::unknown(sender)),
            (_, None) => Err(Mismatch::unknown(reader)),
        }
    }

    fn messages(
        &mut self,
        names: Pair<'_>,
        sent: &Message,
        read: &Message,
    ) -> Result<(), Mismatch> {
        for field in &sent.fields {
            match read.field(field.number) {
                Some(counterpart) => self.fields(names, (sent, field), (read, counterpart))?,
                // An old caller skips it.
                None if self.direction == Direction::Response => {}
                None if read.reserves(field.number) => {}
                None => return Err(self.missing(names, field)),
            }
        }
        let only_read = read.fields.iter();
        let only_read = only_read.filter(|field| sent.field(field.number).is_none());
        for field in only_read {
            if self.direction == Direction::Response {
                return Err(self.missing(names, field));
            }
            if field.presence == Presence::Required {
                let (field, message) = (field.spelled(), names.reader.to_owned());
                return Err(Mismatch::Required { field, message });
            }
        }
        Ok(())
    }

    fn fields(
        &mut self,
        names: Pair<'_>,
        (sender, sent): (&Message, &Field),
        (reader, read): (&Message, &Field),
    ) -> Result<(), Mismatch> {
        let types = Pair {
            sender: &self.sender.resolve(names.sender, &sent.type_name),
            reader: &self.reader.resolve(names.reader, &read.type_name),
        };
        let (field, message) = (sent.spelled(), self.new_name(names).to_owned());
        let form = sent.form_in(self.sender, types.sender)?;
        if form != read.form_in(self.reader, types.reader)? {
            return Err(Mismatch::Differs { field, message });
        }
        if partners(sender, sent, reader) != partners(reader, read, sender) {
            return Err(Mismatch::Oneof { field, message });
        }
        match form.kind {
            Kind::Message { .. } => self.types(types.sender, types.reader)?,
            Kind::Enum => self.enums(sent, types)?,
            _ => {}
        }
        if sent.is_singular() {
            self.presence(names, types, form.kind, (sent, read))?;
        }
        Ok(())
    }

    fn presence(
        &self,
        names: Pair<'_>,
        types: Pair<'_>,
        kind: Kind,
        (sent, read): (&Field, &Field),
    ) -> Result<(), Mismatch> {
        if sent.presence == Presence::Required {
            return Ok(());
        }
        let field = sent.spelled();
        let message = names.reader.to_owned();
        if read.presence == Presence::Required {
            return Err(Mismatch::Required { field, message });
        }
        let meant = sent.absent_value(kind, self.sender.declared_enum(types.sender));
        let understood = read.absent_value(kind, self.reader.declared_enum(types.reader));
        if meant != understood {
            return Err(Mismatch::Default {
                field,
                sender: names.sender.to_owned(),
                sent: meant,
                message,
                read: understood,
            });
        }
        let zero_is_absent =
            (sent.presence, read.presence) == (Presence::Implicit, Presence::Explicit);
        let is_message = matches!(kind, Kind::Message { .. });
        if zero_is_absent && !is_message && self.direction == Direction::Response {
            let message = names.sender.to_owned();
            return Err(Mismatch::Presence { field, message });
        }
        Ok(())
    }

    fn enums(&self, sent: &Field, types: Pair<'_>) -> Result<(), Mismatch> {
        let found = (
            self.sender.declared_enum(types.sender),
            self.reader.declared_enum(types.reader),
        );
        let (sender, reader) = match found {
            (Some(sender), Some(reader)) => (sender, reader),
            _ if is_well_known(types) => return Ok(()),
            (None, _) => return Err(Mismatch::unknown(types.sender)),
            (_, None) => return Err(Mismatch::unknown(types.reader)),
        };
        let has = |number| reader.values.iter().any(|value| value.number == number);
        let dropped = sender.values.iter().find(|value| !has(value.number));
        match dropped {
            Some(value) if reader.closed => Err(Mismatch::EnumValue {
                field: sent.spelled(),
                value: format!("{} = {}", value.name, value.number),
                name: types.reader.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn missing(&self, names: Pair<'_>, field: &Field) -> Mismatch {
        Mismatch::Missing {
            field: field.spelled(),
            message: self.new_name(names).to_owned(),
        }
    }

    const fn new_name<'n>(&self, names: Pair<'n>) -> &'n str {
        match self.direction {
            Direction::Request => names.reader,
            Direction::Response => names.sender,
        }
    }
}

/// The numbers of the fields in the field's oneof that the counterpart has too. A field in no oneof
/// is alone.
fn partners(message: &Message, field: &Field, counterpart: &Message) -> Vec<i32> {
    let fields = message.fields.iter();
    let inside = fields.filter(|other| match field.oneof {
        Some(oneof) => other.oneof == Some(oneof),
        None => other.number == field.number,
    });
    let numbers = inside.map(|other| other.number);
    let mut numbers: Vec<_> = numbers
        .filter(|number| counterpart.field(*number).is_some())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Google's types are the same in every contract, so a set need not have them.
fn is_well_known(names: Pair<'_>) -> bool {
    names.sender == names.reader && names.sender.starts_with(WELL_KNOWN)
}

#[cfg(test)]
mod tests;
