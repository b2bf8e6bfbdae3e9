//! The registry, and what people write into its file.

use std::fs;

use super::*;

const ID: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
const OTHER: &str = "12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq";

fn entry(name: &str, id: &str) -> Entry {
    Entry {
        name: name.to_string(),
        address: "127.0.0.1:4400".to_string(),
        id: id.to_string(),
    }
}

#[test]
fn nodes_are_found_by_name_id_and_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::at(folder.path());
    Registry::change(&home, |registry| registry.add(entry("one", ID))).expect("is added");
    let registry = Registry::read(&home).expect("reads");
    for word in ["one", ID, "127.0.0.1:4400"] {
        assert_eq!(
            registry.get(word).map(|entry| entry.name.as_str()),
            Ok("one"),
            "{word}"
        );
    }
    let problem = registry.get("oe").expect_err("is not there");
    assert!(
        problem.advice().unwrap_or_default().contains("`one`"),
        "{problem:?}"
    );
}

#[test]
fn names_and_ids_are_unique() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::at(folder.path());
    let add = |name, id| Registry::change(&home, |registry| registry.add(entry(name, id)));
    add("one", ID).expect("is added");
    assert!(add("one", OTHER).is_err());
    assert!(add("two", ID).is_err());
    assert!(add("../two", OTHER).is_err());
    add("two", OTHER).expect("is added");
    let rename =
        |word: &str, name: &str| Registry::change(&home, |registry| registry.rename(word, name));
    assert!(rename("two", "one").is_err());
    rename("two", "three").expect("is renamed");
    assert_eq!(Registry::read(&home).expect("reads").nodes().len(), 2);
}

#[test]
fn a_mistake_in_the_file_names_the_file_the_line_and_the_field() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::at(folder.path());
    for (text, wanted) in [
        (
            "[[nodes]]\nname = \"a\"\naddres = \"b\"\n".to_string(),
            "line 3",
        ),
        (
            format!("[[nodes]]\nname = \"a\"\naddress = \"nowhere\"\nid = \"{ID}\"\n"),
            "line 3, node 1 (`a`), field `address`",
        ),
        (
            "[[nodes]]\nname = \"a\"\naddress = \"h:1\"\nid = \"me\"\n".to_string(),
            "line 4, node 1 (`a`), field `id`",
        ),
        (
            format!("[[nodes]]\nname = \"a/b\"\naddress = \"h:1\"\nid = \"{ID}\"\n"),
            "line 2, node 1 (`a/b`), field `name`",
        ),
        (
            format!(
                "[[nodes]]\nname = \"a\"\naddress = \"h:1\"\nid = \"{}\"\n",
                &ID[..40]
            ),
            "line 4, node 1 (`a`), field `id`",
        ),
        (
            format!(
                "[[nodes]]\nname = \"a\"\naddress = \"h:1\"\nid = \"{ID}\"\n\n[[nodes]]\nname = \"a\"\naddress = \"h:2\"\nid = \"{OTHER}\"\n"
            ),
            "line 7, node 2 (`a`), field `name`",
        ),
        ("[[nodes]]\nname = 1\n".to_string(), "line 2"),
        ("[[nodes]]\nname = \"a\"\n".to_string(), "address"),
        ("nodes = 3\n".to_string(), "line 1"),
        ("noodles = []\n".to_string(), "noodles"),
    ] {
        fs::write(home.registry(), &text).expect("writes");
        let problem = Registry::read(&home).expect_err(&text).to_string();
        assert!(
            problem.contains(wanted) && problem.contains("nodes.toml"),
            "{problem}"
        );
    }
}

#[test]
fn what_is_no_text_or_no_file_or_too_large_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::at(folder.path());
    let refused = |wanted: &str| {
        let told = Registry::read(&home).expect_err("is refused").to_string();
        assert!(
            told.contains("nodes.toml") && told.contains(wanted),
            "{told}"
        );
    };
    fs::write(home.registry(), b"\n\xff").expect("writes");
    refused("line 2: it is not UTF-8");
    // A hundred megabytes that take no place on the disk.
    let large = fs::File::create(home.registry()).expect("is made");
    large.set_len(100_000_000).expect("is long");
    refused("100000000 bytes");
    fs::remove_file(home.registry()).expect("goes");
    fs::create_dir(home.registry()).expect("is made");
    refused("not a file");
    fs::remove_dir(home.registry()).expect("goes");
    fs::write(home.registry(), b"").expect("writes");
    assert_eq!(Registry::read(&home).expect("is empty").nodes().len(), 0);
}
