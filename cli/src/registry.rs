//! `nodes.toml`: the nodes that this command line knows, by name, with their address and pinned id.
//!
//! Names and ids are unique. Every change reads, changes and writes the file under a lock, so that
//! commands at the same time do not undo each other. What a person has written into the file is
//! checked, with the line and the field in the message.

use std::{fmt, io, path::PathBuf};

use interstice_abi::{failure::nearest, id::check_name};
use interstice_client::{Target as Address, read_small_file};
use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use crate::{
    address::check_id,
    home::{self, Home},
    problem::{Outcome, Problem},
};

/// Largest registry that is read: thousands of nodes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

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
        let bytes = match read_small_file(&path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Problem::file("read", &path, &error)),
        };
        let wrong = |problem: String| {
            Problem::failed(format!("{} is not valid: {problem}", path.display()))
        };
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..at).unwrap_or_default();
            wrong(format!("line {}: it is not UTF-8 text", line_at(before)))
        })?;
        let document: Document = toml::from_str(&text)
            .map_err(|error| wrong(error.to_string().trim_end().to_string()))?;
        check(&document.nodes).map_err(|mistake| {
            let line =
                line_of(&text, &mistake).map_or_else(String::new, |line| format!("line {line}, "));
            wrong(format!("{line}{mistake}"))
        })?;
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
        check(&registry.nodes).map_err(|mistake| Problem::failed(mistake.to_string()))?;
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

/// What is wrong with a field of a node.
struct Mistake {
    /// The node's place, from 0 on.
    place: usize,
    name: String,
    field: &'static str,
    problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, name) = (self.place + 1, self.name.escape_debug());
        write!(
            f,
            "node {number} (`{name}`), field `{}`: {}",
            self.field, self.problem
        )
    }
}

fn check(nodes: &[Entry]) -> Result<(), Mistake> {
    for (place, entry) in nodes.iter().enumerate() {
        let mistake = |field: &'static str, problem: String| Mistake {
            place,
            name: entry.name.clone(),
            field,
            problem,
        };
        check_name("node name", &entry.name, true).map_err(|problem| mistake("name", problem))?;
        let address = entry
            .address
            .parse::<Address>()
            .map_err(|error| mistake("address", error.to_string()))?;
        check_id(&entry.id).map_err(|problem| mistake("id", problem))?;
        if address.pin().is_some_and(|id| id.as_str() != entry.id) {
            let problem = "it ends in another id than the field `id`".to_string();
            return Err(mistake("address", problem));
        }
        let before = nodes.iter().take(place);
        for other in before {
            if other.name == entry.name {
                return Err(mistake("name", "it is there twice".to_string()));
            }
            if other.id == entry.id {
                return Err(mistake("id", "it is there twice".to_string()));
            }
        }
    }
    Ok(())
}

/// The line, from 1 on, of the field that is wrong.
fn line_of(text: &str, mistake: &Mistake) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let DeValue::Array(nodes) = document.get_ref().get("nodes")?.get_ref() else {
        return None;
    };
    let DeValue::Table(node) = nodes.get(mistake.place)?.get_ref() else {
        return None;
    };
    let span = node.get(mistake.field)?.span();
    Some(line_at(text.as_bytes().get(..span.start)?))
}

/// The line that is reached behind `before`.
fn line_at(before: &[u8]) -> usize {
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests;
