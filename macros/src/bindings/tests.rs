//! Binding files on disk, and the code that they become. That the code compiles and works is shown by the guest crates.

use std::{fs, path::Path};

use quote::quote;

use super::{Generated, generate};

const BANK: &str = r#"
abi_version = 1
name = "bank"
visibility = "Private"
version = { major = 1, minor = 2, patch = 3 }

[[reducers]]
name = "open"
arguments = [{ name = "type", field_type = "U64" }, { name = "_", field_type = { Array = ["F32", 40] } }]

[[queries]]
name = "tree"
return_type = { Named = "Tree" }

[[tables]]
name = "account"
type_name = "Account"
visibility = "Public"
fields = [{ name = "email", field_type = { Option = "String" } }]
primary_key = { name = "id", field_type = "U64" }
indexes = [{ field_name = "email", index_type = "BTree", unique = true }]

[type_definitions.Tree.Enum]
name = "Tree"
variants = [
    { name = "Leaf" },
    { name = "Fork", field_type = { Vec = { Named = "Tree" } } },
    { name = "Two", field_type = { Tuple = ["U8", "I128"] } },
    { name = "Named", fields = [{ name = "fn", field_type = "Bool" }] },
]
"#;

fn generated(files: &[(&str, &str)]) -> Result<Generated, Vec<String>> {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("writes");
    }
    generate(dir.path())
}

fn code(files: &[(&str, &str)]) -> String {
    let module = generated(files)
        .map(|generated| generated.module)
        .expect("is generated");
    syn::parse2::<syn::File>(quote! { pub mod bindings { #module } }).expect("is Rust");
    module.to_string()
}

fn on_node(name: &str, modules: &[&str]) -> String {
    let mut text = format!("name = \"{name}\"\naddress = \"127.0.0.1:8080\"\n");
    for module in modules {
        text.push_str(&format!(
            "[[modules]]\nabi_version = 1\nname = \"{module}\"\nversion = {{ major = 0, minor = 1, patch = 0 }}\n"
        ));
    }
    text
}

fn problems(files: &[(&str, &str)]) -> String {
    match generated(files) {
        Ok(_) => String::new(),
        Err(problems) => problems.join("\n"),
    }
}

#[test]
fn no_folder_and_no_file_are_no_bindings() {
    let generated = generate(Path::new("/nowhere/at/all")).ok();
    assert!(generated.is_some_and(|generated| {
        generated.dependencies.to_string() == ":: std :: vec :: Vec :: new ()"
    }));
    assert!(!code(&[("notes.txt", "not TOML")]).contains("pub use"));
}

#[test]
fn a_module_of_the_same_node_gets_the_names_of_the_reference() {
    let code = code(&[("whatever.toml", BANK)]);
    for name in [
        "pub mod bank",
        "pub trait HasBankModuleHandle",
        "pub struct BankModuleHandle",
        "pub struct Account",
        "pub trait HasAccountHandle",
        "pub struct AccountHandle",
        "pub type open",
        "pub type account",
        "r#type",
    ] {
        assert!(code.contains(name), "{name} is missing in {code}");
    }
}

#[test]
fn another_node_may_be_called_like_its_module() {
    let code = code(&[(
        "node_x.toml",
        &on_node("hello-example", &["hello-example", "other"]),
    )]);
    for name in [
        "pub trait HasHelloExampleHandle",
        "pub struct HelloExample <",
        "pub trait HasHelloExampleModuleHandle",
        "pub struct OtherModuleHandle",
    ] {
        assert!(code.contains(name), "{name} is missing in {code}");
    }
}

#[test]
fn names_that_would_hide_are_refused_until_there_is_an_alias() {
    for name in ["log", "schedule", "cancel", "seq", "clone", "into"] {
        let text = BANK.replace("\"bank\"", &format!("\"{name}\""));
        let message = problems(&[("a.toml", &text)]);
        assert!(
            message.starts_with("src/bindings/a.toml: the module `")
                && message.contains("add `alias = "),
            "{message}"
        );
        let text = format!("alias = \"{name}_module\"\n{text}");
        let code = code(&[("a.toml", &text)]);
        assert!(code.contains(&format!("pub use super :: {name}_module as {name}")));
    }
    let message = problems(&[("node_a.toml", &on_node("Log", &["fine"]))]);
    assert!(message.contains("the node `Log`"), "{message}");
}

#[test]
fn two_files_for_one_module_or_name_are_refused() {
    let message = problems(&[("a.toml", BANK), ("b.toml", BANK)]);
    assert!(
        message.contains("src/bindings/b.toml: ") && message.contains("src/bindings/a.toml"),
        "{message}"
    );
    let message = problems(&[("a.toml", BANK), ("node_bank.toml", &on_node("bank", &[]))]);
    assert!(
        message.contains("the node `bank` would get the same name"),
        "{message}"
    );
    let renamed = format!("alias = \"other\"\n{BANK}");
    let message = problems(&[("a.toml", BANK), ("b.toml", &renamed)]);
    assert!(
        message.contains("is bound by src/bindings/a.toml already"),
        "{message}"
    );
}

#[test]
fn every_mistake_of_every_file_is_reported_with_its_file() {
    let message = problems(&[
        ("a.toml", "abi_version = "),
        (
            "b.toml",
            "name = \"b\"\nversion = { major = 0, minor = 1, patch = 0 }",
        ),
        (
            "c.toml",
            &BANK.replace("Named = \"Tree\"", "Named = \"Gone\""),
        ),
        ("d.toml", "name = \"d\"\n[[modules]]\n"),
        (
            "e.toml",
            &BANK
                .replace("\"Tree\"", "\"AccountHandle\"")
                .replace(".Tree.", ".AccountHandle."),
        ),
    ]);
    for part in [
        "src/bindings/a.toml: ",
        "`abi_version`",
        "the type `Gone` is used",
        "`address` is missing",
        "the type `AccountHandle` is called like an item",
    ] {
        assert!(message.contains(part), "{part} is missing in {message}");
    }
}

#[test]
fn dependencies_are_packed_for_the_schema() {
    let some = generated(&[("a.toml", BANK)]).map(|generated| generated.dependencies.to_string());
    assert!(some.is_ok_and(|code| code.contains("unpack_dependencies")));
}
