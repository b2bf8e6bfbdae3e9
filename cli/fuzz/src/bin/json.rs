//! JSON and words of the command line as values of any type: what is taken is a row, and prints as
//! JSON that reads as the same value.
#![no_main]

use std::sync::Once;

use interstice_abi::{codec::Input, value::decode, walk::Layout};
use interstice_cli::json::{Coercion, from_word, to_json};
use interstice_fuzz::{memory, shapes};
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};

static BEGIN: Once = Once::new();

fuzz_target!(|data: &[u8]| {
    BEGIN.call_once(|| memory::limit(64 * 1024 * 1024));
    // An input that is too short to choose is none.
    let _ = run(data);
});

fn run(data: &[u8]) -> Result<()> {
    let mut input = Unstructured::new(data);
    let ty = shapes::column_type(&mut input)?;
    let types = &shapes::TYPES;
    let Ok(word) = std::str::from_utf8(input.take_rest()) else {
        return Ok(());
    };
    // `@file` reads any file that its user names.
    if word.contains('@') || word.contains("\\u0040") {
        return Ok(());
    }
    let Ok(bytes) = from_word(word, &ty, types) else {
        return Ok(());
    };
    let mut read = Input::new(&bytes);
    let value = decode(&ty, types, &mut read).expect("what was encoded can be decoded");
    read.finish().expect("what was encoded is one value");
    let mut layout = Layout::new(types).expect("the fixed types can be laid out");
    let node = layout.resolve(&ty).expect("a chosen type can be laid out");
    let walked = layout.check(&[node], &bytes);
    let json = to_json(&value);
    let text = serde_json::to_string(&json).expect("JSON can be written");
    let shown = serde_json::from_str(&text).expect("JSON that was written can be read");
    if text.contains('@') {
        return Ok(());
    }
    let again = Coercion::new(types)
        .value(&shown, &ty)
        .unwrap_or_else(|problem| panic!("{text} of type {ty}: {problem}"));
    let mut second = Vec::new();
    interstice_abi::value::encode(&again, &ty, types, &mut second).expect("fits as before");
    assert_eq!(second, bytes, "{text} of type {ty}");
    // Deeper than the walk goes is refused by the node, not here.
    if depth(&json) < 30 {
        walked.expect("what was encoded is a row");
    }
    Ok(())
}

fn depth(json: &serde_json::Value) -> usize {
    let below = match json {
        serde_json::Value::Array(items) => items.iter().map(depth).max(),
        serde_json::Value::Object(fields) => fields.values().map(depth).max(),
        _ => None,
    };
    below.unwrap_or(0) + 1
}
