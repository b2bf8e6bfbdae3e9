//! `nodes.toml`: the nodes that this command line knows, by name, with their address and pinned id.
//!
//! Names and ids are unique. Every change reads, changes and writes the file under a lock, so that commands at the same time
//! do not undo each other. What a person has written into the file is checked, with the line and the field in the message.

use std::{fs, io, path::PathBuf};

use interstice_abi::{failure::nearest, id::check_name};
use interstice_client::Target as Address;
use serde::{Deserialize, Serialize};

use crate::{
    address::check_id,
    home::{self, Home},
    problem::{Outcome, Problem},
};

/// A node that has a name here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is called here.
    pub name: String,
    /// Where it is reached: `host:port` or a multiaddress.
    pub address: String,
    /// Its id: whoever answers at the address must prove to be this one.
    pub id: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    nodes: Vec<Entry>,
}

/// The registry as it was when it was read.
#[derive(Debug)]
pub struct Registry {
    path: PathBuf,
    nodes: Vec<Entry>,
}

impl Registry {
    /// Reads the registry; one that is not there is empty.
    ///
    /// # Errors
    /// Names the file, the line and the field that is wrong.
    pub fn read(home: &Home) -> Outcome<Self> {
        let path = home.registry();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Problem::file("read", &path, &error)),
        };
        let wrong = |problem: String| {
            Problem::failed(format!("{} is not valid: {problem}", path.display()))
        };
        let document: Document = toml::from_str(&text)
            .map_err(|error| wrong(error.to_string().trim_end().to_string()))?;
        check(&document.nodes).map_err(wrong)?;
        Ok(Self {
            path,
            nodes: document.nodes,
        })
    }

    /// Changes the registry, while no other command does.
    ///
    /// # Errors
    /// What `change` says, or why the file cannot be read or written; it is then as it was.
    pub fn change<T>(home: &Home, change: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        home.make()?;
        let _locked = home::lock(&home.root().join("nodes.lock"))?;
        let mut registry = Self::read(home)?;
        let result = change(&mut registry)?;
        check(&registry.nodes).map_err(Problem::failed)?;
        let document = Document {
            nodes: registry.nodes,
        };
        let text = toml::to_string(&document)
            .map_err(|error| Problem::failed(format!("the registry cannot be written: {error}")))?;
        home::write_private(&registry.path, text.as_bytes())?;
        Ok(result)
    }

    /// All nodes, in the order in which they were added.
    #[must_use]
    pub fn nodes(&self) -> &[Entry] {
        &self.nodes
    }

    /// The node of this name, id or address.
    #[must_use]
    pub fn find(&self, word: &str) -> Option<&Entry> {
        let by = |is: fn(&Entry, &str) -> bool| self.nodes.iter().find(|entry| is(entry, word));
        by(|entry, word| entry.name == word)
            .or_else(|| by(|entry, word| entry.id == word))
            .or_else(|| by(|entry, word| entry.address == word))
    }

    /// The node of this name or id, or why there is none.
    ///
    /// # Errors
    /// Names the nearest name that is there.
    pub fn get(&self, word: &str) -> Outcome<&Entry> {
        self.find(word).ok_or_else(|| self.unknown(word))
    }

    /// The message for a name that is not here.
    #[must_use]
    pub fn unknown(&self, word: &str) -> Problem {
        let names = self.nodes.iter().map(|entry| entry.name.as_str());
        let problem = Problem::failed(format!(
            "there is no node `{}` in the registry",
            word.escape_debug()
        ));
        match nearest(word, names) {
            Some(near) => problem.advise(format!("did you mean `{near}`? `node list` shows all")),
            None => problem.advise("`node list` shows all; `node add` adds one, and HOST:PORT reaches one that has no name"),
        }
    }

    /// Adds a node.
    ///
    /// # Errors
    /// When the name or the id is taken, or the name is not allowed.
    pub fn add(&mut self, entry: Entry) -> Outcome<()> {
        check_name("node name", &entry.name, true).map_err(Problem::usage)?;
        if let Some(known) = self.nodes.iter().find(|known| known.name == entry.name) {
            return Err(Problem::failed(format!(
                "there is a node `{}` already, at {}",
                known.name, known.address
            ))
            .advise("choose another name, or `node remove` that one first"));
        }
        if let Some(known) = self.nodes.iter().find(|known| known.id == entry.id) {
            return Err(Problem::failed(format!(
                "this node is in the registry already, as `{}`",
                known.name
            ))
            .advise("`node rename` gives it another name"));
        }
        self.nodes.push(entry);
        Ok(())
    }

    /// Notes where a node is reached.
    pub fn set_address(&mut self, id: &str, address: &str) {
        if let Some(entry) = self.nodes.iter_mut().find(|entry| entry.id == id) {
            entry.address = address.to_string();
        }
    }

    /// Gives a node another name.
    ///
    /// # Errors
    /// When the name is taken or not allowed, or there is no such node.
    pub fn rename(&mut self, word: &str, name: &str) -> Outcome<()> {
        check_name("node name", name, true).map_err(Problem::usage)?;
        if self.nodes.iter().any(|entry| entry.name == name) {
            return Err(Problem::failed(format!("there is a node `{name}` already")));
        }
        let id = self.get(word)?.id.clone();
        if let Some(entry) = self.nodes.iter_mut().find(|entry| entry.id == id) {
            entry.name = name.to_string();
        }
        Ok(())
    }

    /// Forgets the node with this id.
    pub fn remove(&mut self, id: &str) {
        self.nodes.retain(|entry| entry.id != id);
    }
}

fn check(nodes: &[Entry]) -> Result<(), String> {
    for (place, entry) in nodes.iter().enumerate() {
        let field = |field: &str, problem: String| {
            format!(
                "node {} (`{}`), field `{field}`: {problem}",
                place + 1,
                entry.name.escape_debug()
            )
        };
        check_name("node name", &entry.name, true).map_err(|problem| field("name", problem))?;
        let address = entry
            .address
            .parse::<Address>()
            .map_err(|error| field("address", error.to_string()))?;
        check_id(&entry.id).map_err(|problem| field("id", problem))?;
        if address.pin().is_some_and(|id| id.0 != entry.id) {
            return Err(field(
                "address",
                "it ends in another id than the field `id`".to_string(),
            ));
        }
        let before = nodes.iter().take(place);
        for other in before {
            if other.name == entry.name {
                return Err(field("name", "it is there twice".to_string()));
            }
            if other.id == entry.id {
                return Err(field("id", "it is there twice".to_string()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        let rename = |word: &str, name: &str| {
            Registry::change(&home, |registry| registry.rename(word, name))
        };
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
                "`address`",
            ),
            (
                "[[nodes]]\nname = \"a\"\naddress = \"h:1\"\nid = \"me\"\n".to_string(),
                "`id`",
            ),
            (
                format!("[[nodes]]\nname = \"a/b\"\naddress = \"h:1\"\nid = \"{ID}\"\n"),
                "`name`",
            ),
        ] {
            fs::write(home.registry(), &text).expect("writes");
            let problem = Registry::read(&home).expect_err(&text).to_string();
            assert!(
                problem.contains(wanted) && problem.contains("nodes.toml"),
                "{problem}"
            );
        }
    }
}
