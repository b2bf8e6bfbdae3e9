//! What the macros cannot see and the compiler can: checks that expansions leave behind, spanned
//! on what they check.
//!
//! Traits answer "may this type stand here?"; const functions compare what an event string says
//! with what a row type is. All of it is gone from the compiled module.

use interstice_abi::schema::Authority;

use crate::TableRow;

/// A type that a primary key or an index can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "not a key type",
    note = "keys are integers, bool, String, Vec<u8>, enums without fields, and tuples and Options of those; floats are no keys because they have no total order"
)]
pub trait KeyColumn {}

macro_rules! keys {
    ($($ty:ty)*) => { $(impl KeyColumn for $ty {})* };
}
keys!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 bool String Vec<u8>);

impl<K: KeyColumn> KeyColumn for Option<K> {}

macro_rules! tuple_keys {
    ($($name:ident)*) => {
        impl<$($name: KeyColumn),*> KeyColumn for ($($name,)*) {}
    };
}
tuple_keys!(A);
tuple_keys!(A B);
tuple_keys!(A B C);
tuple_keys!(A B C D);
tuple_keys!(A B C D E);
tuple_keys!(A B C D E F);
tuple_keys!(A B C D E F G);
tuple_keys!(A B C D E F G H);
tuple_keys!(A B C D E F G H I);
tuple_keys!(A B C D E F G H I J);
tuple_keys!(A B C D E F G H I J K);
tuple_keys!(A B C D E F G H I J K L);

/// A type whose values can be handed out by `auto_inc`.
#[diagnostic::on_unimplemented(
    message = "`auto_inc` cannot count in `{Self}`",
    label = "no counter",
    note = "`auto_inc` works on u8, u16, u32, u64, i32 and i64"
)]
pub trait Counter {}

macro_rules! counters {
    ($($ty:ty)*) => { $(impl Counter for $ty {})* };
}
counters!(u8 u16 u32 u64 i32 i64);

/// A type that is `T`.
#[diagnostic::on_unimplemented(
    message = "this event hands over `{T}`, not `{Self}`",
    label = "this event hands over `{T}`",
    note = "take the argument as `{T}`"
)]
pub trait HandedOver<T> {}

impl<T> HandedOver<T> for T {}

/// Argument lists (as tuples) that are the same.
#[diagnostic::on_unimplemented(
    message = "the reducer that this event follows takes `{T}`, not `{Self}`",
    label = "takes the reducer's arguments: `{T}`",
    note = "an event `<module>.<reducer>.call` hands over the arguments of that reducer"
)]
pub trait CalledWith<T> {}

impl<T> CalledWith<T> for T {}

/// Longest message of a failed check in bytes: five names of the longest kind and the words
/// between them.
const MESSAGE_BYTES_MAX: usize = 1024;

/// A sentence that is put together while the module is compiled.
#[derive(Debug)]
pub struct Message {
    bytes: [u8; MESSAGE_BYTES_MAX],
    length: usize,
}

impl Message {
    const fn new() -> Self {
        Self {
            bytes: [0; MESSAGE_BYTES_MAX],
            length: 0,
        }
    }

    const fn with(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() && self.length < MESSAGE_BYTES_MAX {
            self.bytes[self.length] = text[i];
            self.length += 1;
            i += 1;
        }
        self
    }

    const fn with_table(self, node: Option<&str>, module: Option<&str>, table: &str) -> Self {
        let message = match node {
            Some(node) => self.with(node).with("."),
            None => self,
        };
        let message = match module {
            Some(module) => message.with(module).with("."),
            None => message,
        };
        message.with(table)
    }

    /// The sentence.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        let (text, _) = self.bytes.split_at(self.length);
        match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(_) => "an event does not fit its reducer",
        }
    }
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

const fn same_option(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => same(a, b),
        _ => false,
    }
}

/// What is wrong with a reducer that takes rows `R` (written `row` in its signature) on the event
/// `verb` of the table that the event string names.
#[must_use]
pub const fn row_event<R: TableRow>(
    row: &str,
    node: Option<&str>,
    module: Option<&str>,
    table: &str,
    verb: &str,
) -> Option<Message> {
    if same_option(node, R::NODE) && same_option(module, R::MODULE) && same(table, R::TABLE) {
        return None;
    }
    let message = Message::new()
        .with("`")
        .with_table(node, module, table)
        .with(".")
        .with(verb)
        .with("` does not hand over `")
        .with(row)
        .with("`, which is the row of `")
        .with_table(R::NODE, R::MODULE, R::TABLE)
        .with("`: write `on = \"")
        .with_table(R::NODE, R::MODULE, R::TABLE)
        .with(".")
        .with(verb)
        .with("\"`, or take the row type of `")
        .with_table(node, module, table)
        .with("`");
    Some(message)
}

/// Whether `declared` has `needed`.
#[must_use]
pub const fn has_authority(declared: &[Authority], needed: Authority) -> bool {
    let mut i = 0;
    while i < declared.len() {
        if declared[i] as u8 == needed as u8 {
            return true;
        }
        i += 1;
    }
    false
}
