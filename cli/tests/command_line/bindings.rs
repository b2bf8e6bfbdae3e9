//! Schemas and bindings of modules that no node runs.

use std::fs;

use interstice_abi::binding::ModuleBinding;

use crate::place::{Place, built, modules_folder};

#[test]
fn a_schema_reads_like_the_source() {
    let place = Place::new();
    let bank = built("bank");
    let path = bank.to_str().expect("is text");
    insta::assert_snapshot!("schema_bank", place.ok(&["schema", path]));
    let json = place.json(&["schema", path]);
    assert_eq!(
        json.pointer("/name").and_then(serde_json::Value::as_str),
        Some("bank")
    );
}

#[test]
fn a_binding_is_added_listed_and_removed() {
    let place = Place::new();
    place.ok(&["init", "user"]);
    fs::remove_file(place.path().join("user/build.rs")).expect("was there");
    let hello = built("hello");
    let path = hello.to_str().expect("is text");
    let said = place.run(&["bindings", "add", "module", path, "hello-example", "user"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(place.path().join("user/build.rs").is_file());

    let file = place.path().join("user/src/bindings/hello-example.toml");
    let read = |path: &std::path::Path| -> ModuleBinding {
        toml::from_str(&fs::read_to_string(path).expect("reads")).expect("is a binding")
    };
    let theirs = read(&modules_folder().join("caller/src/bindings/hello-example.toml"));
    assert_eq!(
        read(&file),
        theirs,
        "the example's binding is what the command writes"
    );

    assert!(
        place
            .ok(&["bindings", "list", "user"])
            .contains("hello-example")
    );
    let wrong = place.fails(
        1,
        &["bindings", "add", "module", path, "helo-example", "user"],
    );
    assert!(wrong.contains("hello-example"), "{wrong}");
    assert!(
        place
            .fails(1, &["bindings", "remove", "hello", "user"])
            .contains("hello")
    );
    place.ok(&["bindings", "remove", "hello-example", "user"]);
    assert!(!file.exists());
}
