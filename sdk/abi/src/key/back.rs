//! From ordered key bytes back to the codec's encoding, and to what a person would write.
//!
//! Ordered bytes come from stores, logs and cursors as well: nothing is believed, and only the
//! canonical form is taken.

use alloc::{borrow::Cow, format, string::String, vec::Vec};
use core::fmt::Write;

use super::{KeyType, Kind, bits, sign_bit};
use crate::codec::{Damaged, Input, put_length, put_varint};

/// How much of a text or of bytes stands in a message: enough to recognise a key, short enough for
/// a line.
const SHOWN_MAX: usize = 64;

impl KeyType {
    /// Appends the codec's encoding of the key whose ordered bytes fill `ordered`.
    ///
    /// # Errors
    /// [`Damaged`] when they are no key of this type.
    pub fn encode(&self, ordered: &[u8], out: &mut Vec<u8>) -> Result<(), Damaged> {
        let mut input = Input::new(ordered);
        encode(&self.0, &mut input, out)?;
        input.finish()
    }

    /// How many bytes the key takes that `ordered` begins with.
    ///
    /// # Errors
    /// [`Damaged`] when it begins with none.
    pub fn length(&self, ordered: &[u8]) -> Result<usize, Damaged> {
        let mut input = Input::new(ordered);
        skip(&self.0, &mut input)?;
        Ok(ordered.len() - input.left())
    }

    /// The key with these ordered bytes as a person would write it: `7`, `"a@b"`, `(1, None)`.
    /// Long texts are cut. Bytes that are no key are shown as bytes.
    #[must_use]
    pub fn show(&self, ordered: &[u8]) -> String {
        let mut text = String::new();
        let mut input = Input::new(ordered);
        if show(&self.0, &mut input, &mut text).is_err() || input.left() > 0 {
            text.clear();
            show_bytes(ordered, &mut text);
        }
        text
    }
}

fn encode(kind: &Kind, input: &mut Input<'_>, out: &mut Vec<u8>) -> Result<(), Damaged> {
    match kind {
        Kind::Bool => {
            let byte = input.byte()?;
            if byte > 1 {
                return Err(input.damaged("a bool is neither 0 nor 1"));
            }
            out.push(byte);
        }
        Kind::Unsigned(1) => out.push(input.byte()?),
        Kind::Signed(1) => out.push(input.byte()? ^ 0x80),
        Kind::Unsigned(size) => put_varint(big_endian(*size, input)?, out),
        Kind::Signed(size) => {
            let value = signed(*size, input)?;
            put_varint(((value << 1) ^ (value >> 127)).cast_unsigned(), out);
        }
        Kind::String | Kind::Bytes => {
            let bytes = unescaped(input)?;
            if *kind == Kind::String && core::str::from_utf8(&bytes).is_err() {
                return Err(input.damaged("a string is not UTF-8"));
            }
            put_length(bytes.len(), out);
            out.extend_from_slice(&bytes);
        }
        Kind::Option(inner) => match input.byte()? {
            0 => out.push(0),
            1 => {
                out.push(1);
                encode(inner, input, out)?;
            }
            _ => return Err(input.damaged("an option's tag is neither 0 nor 1")),
        },
        Kind::Tuple(items) => {
            for item in items {
                encode(item, input, out)?;
            }
        }
        Kind::Enum(variants) => {
            let number = variant(variants, input)?;
            put_length(number, out);
        }
    }
    Ok(())
}

fn skip(kind: &Kind, input: &mut Input<'_>) -> Result<(), Damaged> {
    match kind {
        Kind::Bool => input.take(1).map(|_| ()),
        Kind::Unsigned(size) | Kind::Signed(size) => input.take(*size).map(|_| ()),
        Kind::String | Kind::Bytes => {
            while !matches!(escaped_part(input)?, (_, End::Key)) {}
            Ok(())
        }
        Kind::Option(inner) => match input.byte()? {
            0 => Ok(()),
            1 => skip(inner, input),
            _ => Err(input.damaged("an option's tag is neither 0 nor 1")),
        },
        Kind::Tuple(items) => items.iter().try_for_each(|item| skip(item, input)),
        Kind::Enum(_) => input.take(4).map(|_| ()),
    }
}

fn show(kind: &Kind, input: &mut Input<'_>, text: &mut String) -> Result<(), Damaged> {
    match kind {
        Kind::Bool => text.push_str(if input.byte()? == 0 { "false" } else { "true" }),
        Kind::Unsigned(size) => text.push_str(&format!("{}", big_endian(*size, input)?)),
        Kind::Signed(size) => text.push_str(&format!("{}", signed(*size, input)?)),
        Kind::String => {
            let bytes = unescaped(input)?;
            let whole = String::from_utf8_lossy(&bytes);
            let shown: String = whole.chars().take(SHOWN_MAX).collect();
            text.push_str(&format!("{shown:?}"));
            if shown.len() < whole.len() {
                text.push('…');
            }
        }
        Kind::Bytes => show_bytes(&unescaped(input)?, text),
        Kind::Option(inner) => {
            if input.byte()? == 0 {
                text.push_str("None");
            } else {
                text.push_str("Some(");
                show(inner, input, text)?;
                text.push(')');
            }
        }
        Kind::Tuple(items) => {
            text.push('(');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push_str(", ");
                }
                show(item, input, text)?;
            }
            text.push_str(if items.len() == 1 { ",)" } else { ")" });
        }
        Kind::Enum(variants) => {
            let number = variant(variants, input)?;
            text.push_str(variants.get(number).map_or("", String::as_str));
        }
    }
    Ok(())
}

fn show_bytes(bytes: &[u8], text: &mut String) {
    text.push_str("0x");
    for byte in bytes.iter().take(SHOWN_MAX) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > SHOWN_MAX {
        text.push('…');
    }
}

fn big_endian(size: usize, input: &mut Input<'_>) -> Result<u128, Damaged> {
    let bytes = input.take(size)?;
    Ok(bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u128::from(*byte)))
}

fn signed(size: usize, input: &mut Input<'_>) -> Result<i128, Damaged> {
    let value = big_endian(size, input)? ^ sign_bit(size);
    let unused = 128 - bits(size);
    Ok((value << unused).cast_signed() >> unused)
}

fn variant(variants: &[String], input: &mut Input<'_>) -> Result<usize, Damaged> {
    let number = usize::try_from(big_endian(4, input)?).unwrap_or(usize::MAX);
    if number >= variants.len() {
        return Err(input.damaged("an enum has no variant of this number"));
    }
    Ok(number)
}

/// What ends a part of an escaped text.
enum End {
    /// A zero byte of the text.
    Zero,
    /// The end of the text.
    Key,
}

fn escaped_part<'a>(input: &mut Input<'a>) -> Result<(&'a [u8], End), Damaged> {
    let length = input
        .rest()
        .iter()
        .position(|byte| *byte == 0)
        .ok_or_else(|| input.damaged("a key's text has no end"))?;
    let part = input.take(length)?;
    input.byte()?;
    match input.byte()? {
        0x00 => Ok((part, End::Key)),
        0xff => Ok((part, End::Zero)),
        _ => Err(input.damaged("a key's text is not escaped")),
    }
}

fn unescaped<'a>(input: &mut Input<'a>) -> Result<Cow<'a, [u8]>, Damaged> {
    let (first, end) = escaped_part(input)?;
    if matches!(end, End::Key) {
        return Ok(Cow::Borrowed(first));
    }
    let mut bytes = first.to_vec();
    loop {
        bytes.push(0);
        let (part, end) = escaped_part(input)?;
        bytes.extend_from_slice(part);
        if matches!(end, End::Key) {
            return Ok(Cow::Owned(bytes));
        }
    }
}
