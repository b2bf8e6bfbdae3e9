//! Postcard, behind what a buffer holds already.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// Appends `value`'s encoding to `bytes`.
///
/// # Errors
/// For what serde refuses; then `bytes` end with a part of it.
pub fn append<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> postcard::Result<()> {
    postcard::serialize_with_flavor(value, Appended(bytes))
}

struct Appended<'a>(&'a mut Vec<u8>);

impl Flavor for Appended<'_> {
    type Output = ();

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_postcard_behind_what_was_there() {
        let value = (u64::MAX, "text", [true, false], Some(-3_i16));
        let mut bytes = vec![7];
        append(&value, &mut bytes).expect("encodes");
        let encoded = postcard::to_allocvec(&value).expect("encodes");
        assert_eq!(bytes, [vec![7], encoded].concat());
    }
}
