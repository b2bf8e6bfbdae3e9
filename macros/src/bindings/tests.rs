//! Binding files on disk, and the code that they become. That the code works is shown by the guest
//! crates; that it compiles next to every mix of imports is shown here.

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

/// What a user writes beside the bindings of [`every_mix_of_globs_compiles`].
const GLOBS: &str = r#"
#![deny(warnings)]

#[expect(unused_imports, reason = "more is imported than is used")]
mod everything {
    use crate::bindings::bank::*;
    use crate::bindings::far::bank::*;
    use crate::bindings::far::near::*;
    use crate::bindings::far::*;
    use crate::bindings::near::bank::*;
    use crate::bindings::near::near::*;
    use crate::bindings::near::*;
    use crate::bindings::*;
    use interstice_sdk::*;

    pub fn read<Caps>(ctx: &ReducerContext<Caps>) -> Result<(), Error>
    where
        Caps: CanRead<crate::bindings::bank::Account>
            + CanRead<crate::bindings::far::bank::Account>
            + CanRead<crate::bindings::near::near::Account>,
    {
        let _ = ctx.bank().tables.account().count();
        let _ = ctx.far().bank().tables.account().count();
        let _ = ctx.near().near().tables.account().count();
        ctx.far().near().reducers.open(1, [0.0; 40])?;
        ctx.near().bank().queries.tree()?;
        Ok(())
    }
}

mod by_name {
    use crate::bindings::HasNearHandle;
    use crate::bindings::far::HasNearModuleHandle as _;
    use crate::bindings::near::HasNearModuleHandle;
    use crate::bindings::near::near::{Account, AccountHandle, HasAccountHandle, NearModuleHandle, Tree};
    use interstice_sdk::{CanRead, QueryContext, ReducerContext};

    pub struct Held<Caps> {
        pub near: NearModuleHandle<Caps>,
        pub accounts: AccountHandle<Caps>,
    }

    pub fn hold<Caps>(ctx: &ReducerContext<Caps>) -> Held<Caps> {
        let near = ctx.near().near();
        let _ = crate::bindings::HasFarHandle::far(ctx).near();
        let accounts = near.tables.account();
        Held { near, accounts }
    }

    pub fn ask<Caps: CanRead<Account>>(ctx: &QueryContext<Caps>) -> Option<Tree> {
        let _ = ctx.near().near().tables.account().first();
        ctx.near().near().queries.tree().ok()
    }
}

fn main() {
    let ctx = interstice_sdk::testing::reducer_context();
    assert!(everything::read(&ctx).is_err());
    let held = by_name::hold(&ctx);
    assert_eq!(held.accounts.count(), 0);
    assert!(held.near.queries.tree().is_err());
    assert_eq!(by_name::ask(&interstice_sdk::testing::query_context()), None);
}
"#;

#[test]
fn every_mix_of_globs_compiles() {
    // Three modules on three nodes, with tables of one name; the node `near` is called like one of
    // its modules.
    let on = |node: &str| {
        let mut text = on_node(node, &[]);
        for module in ["bank", "near"] {
            let keys = BANK.replace("\"bank\"", &format!("\"{module}\""));
            let keys = keys
                .replace("[[", "[[modules.")
                .replace("[type_", "[modules.type_");
            text.push_str(&format!("[[modules]]\n{keys}"));
        }
        text
    };
    let files = [
        ("a.toml", BANK),
        ("b.toml", &on("near")),
        ("c.toml", &on("far")),
    ];
    let bindings = generated(&files).map(|generated| generated.module);
    let bindings = bindings.expect("is generated");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("every_mix_of_globs.rs");
    let code = format!("{GLOBS}{}", quote! { pub mod bindings { #bindings } });
    fs::write(&file, code).expect("writes");
    trybuild::TestCases::new().pass(file);
}
