//! Values as people write them: JSON, coerced by the schema, and back.
//!
//! | type | JSON |
//! | --- | --- |
//! | integers | a number, or a string of digits; printed as numbers with all digits |
//! | floats | a number; `"NaN"`, `"inf"`, `"-inf"` |
//! | `String` | a string; at the command line also the bare word |
//! | bytes | base64, or `@file` |
//! | `Option<T>` | `null`, or the value; `{"Some": value}` where the value itself could be `null` |
//! | vectors, arrays, tuples, tuple structs | an array |
//! | structs | an object; absent fields of type `Option` are `None` |
//! | enums | `"Unit"`, `{"One": value}`, `{"Several": [value, …]}`, `{"Named": {…}}` |

mod read;
mod write;

pub use read::{Coercion, from_word};
pub use write::to_json;

#[cfg(test)]
mod tests;
