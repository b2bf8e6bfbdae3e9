//! Values as people write them: JSON, coerced by the schema, and back.
//!
//! | type | JSON |
//! | --- | --- |
//! | integers | a number, or a string of digits; printed as numbers with all digits |
//! | floats | a number; `"NaN"`, `"inf"`, `"-inf"` |
//! | `String` | a string; at the command line also the bare word |
//! | bytes | base64, or `@file` for the bytes of a file |
//! | `Option<T>` | `null`, or the value; `{"Some": value}` where the value itself could be `null` |
//! | vectors, arrays, tuples, tuple structs | an array |
//! | structs | an object; absent fields of type `Option` are `None` |
//! | enums | `"Unit"`, `{"One": value}`, `{"Several": [value, …]}`, `{"Named": {…}}` |
//!
//! As an argument of a call or query, `@file` stands for the content of a file and `@-` for
//! standard input: bytes for bytes, text for a `String`, JSON for everything else.

mod file;
mod read;
mod write;

pub use read::{Coercion, from_argument, from_word};
pub use write::to_json;

#[cfg(test)]
mod tests;
