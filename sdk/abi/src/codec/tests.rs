//! Round trips, agreement with postcard, and damaged bytes.

use alloc::{string::String, vec::Vec};
use std::fmt::Debug;

use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

use super::*;

fn check<T: Column + Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let bytes = value.to_bytes();
    assert_eq!(
        bytes,
        postcard::to_allocvec(value).expect("postcard encodes"),
        "{value:?}"
    );
    assert_eq!(&T::from_bytes(&bytes).expect("decodes"), value);
    for length in 0..bytes.len() {
        assert!(
            T::from_bytes(bytes.get(..length).expect("a prefix")).is_err(),
            "a prefix of {value:?} decodes"
        );
    }
}

proptest! {
    #[test]
    fn values_are_postcard(
        a: (u8, u16, u32, u64, u128, i8, i16, i32, i64, i128),
        b: (bool, String, Vec<u8>, Vec<(i16, String)>, Option<Option<u64>>, [u16; 3]),
    ) {
        check(&a);
        check(&b);
    }

    #[test]
    fn floats_keep_their_bits(a: u32, b: u64) {
        let value = (f32::from_bits(a), f64::from_bits(b));
        let back = <(f32, f64)>::from_bytes(&value.to_bytes()).expect("decodes");
        prop_assert_eq!((back.0.to_bits(), back.1.to_bits()), (a, b));
    }

    #[test]
    fn damaged_bytes_are_an_error_or_canonical(bytes: Vec<u8>) {
        type Row = (u16, Vec<i64>, String, Option<bool>, u128);
        if let Ok(value) = Row::from_bytes(&bytes) {
            prop_assert_eq!(value.to_bytes(), bytes);
        }
    }
}

proptest! {
    #[test]
    fn numbers_of_all_sizes_are_postcard(value: u128, shift in 0_u32..128) {
        let value = value >> shift;
        check(&value);
        check(&value.cast_signed());
        check(&(value as u64, value as u32, value as u16));
        check(&(value as i64, value as i32, value as i16));
    }

    #[test]
    fn numbers_are_read_as_postcard_reads_them(bytes in prop::collection::vec(prop_oneof![0_u8..4, 0x80..0x84_u8, 0xfe..=0xff_u8], 1..21)) {
        fn agree<T: Column + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
            let ours = T::decode(&mut Input::new(bytes)).ok();
            let theirs = postcard::take_from_bytes::<T>(bytes).ok().map(|(value, _)| value);
            let is_shortest = theirs.as_ref().is_some_and(|value| bytes.starts_with(&value.to_bytes()));
            assert_eq!(ours, theirs.filter(|_| is_shortest), "{bytes:x?}");
        }
        agree::<u16>(&bytes);
        agree::<u32>(&bytes);
        agree::<u64>(&bytes);
        agree::<u128>(&bytes);
    }
}

#[test]
fn what_is_wrong_with_a_number_is_said() {
    let what = |bytes: &[u8], bits| {
        Input::new(bytes)
            .varint(bits)
            .map_err(|damaged| damaged.what)
    };
    assert_eq!(what(&[0xff], 16), Err("ends too early"));
    assert_eq!(what(&[], 16), Err("ends too early"));
    assert_eq!(
        what(&[0x80, 0x80, 0x04], 16),
        Err("a number is too large for its type")
    );
    assert_eq!(
        what(&[0x80, 0x80, 0x80, 0x01], 16),
        Err("a number is too large for its type")
    );
    assert_eq!(
        what(&[0x80, 0x00], 16),
        Err("a number is longer than it need be")
    );
    assert_eq!(what(&[0xff; 18], 128), Err("ends too early"));
    assert_eq!(
        what(&[0xff; 19], 128),
        Err("a number is too large for its type")
    );
}

#[test]
fn what_is_not_canonical_is_refused() {
    assert!(u32::from_bytes(&[0x80, 0x00]).is_err(), "an overlong zero");
    assert!(
        u16::from_bytes(&[0xff, 0xff, 0x07]).is_err(),
        "more than 16 bits"
    );
    assert_eq!(u16::from_bytes(&[0xff, 0xff, 0x03]), Ok(u16::MAX));
    assert!(bool::from_bytes(&[2]).is_err());
    assert!(Option::<u8>::from_bytes(&[2, 0]).is_err());
    assert!(String::from_bytes(&[1, 0xff]).is_err(), "not UTF-8");
    assert!(
        Vec::<u64>::from_bytes(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err(),
        "claims four billion items"
    );
}
