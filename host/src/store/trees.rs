//! The names of sled's trees, and reading one from end to end.
//!
//! A tree's name is the byte `t`, the length of the module's name in bytes (`u64`, big-endian),
//! the module's name, and the table's: no two pairs share a name, whatever characters are in them,
//! and sled's own trees begin with another byte.

use super::error::StoreError;
use super::guard::Guard;
use super::sum::{SUM_KEY, Sum, caller_key};
use crate::packed::unpack;

/// What the names of the tables' trees begin with.
const PREFIX: u8 = b't';

pub(super) fn name(module: &str, tree: &str) -> Vec<u8> {
    let length = (module.len() as u64).to_be_bytes();
    [
        &[PREFIX],
        length.as_slice(),
        module.as_bytes(),
        tree.as_bytes(),
    ]
    .concat()
}

/// The module and the table that a tree's name stands for; `None` for sled's own trees.
fn parts(name: &[u8]) -> Option<(&str, &str)> {
    let (length, rest) = name.strip_prefix(&[PREFIX])?.split_first_chunk()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let (module, tree) = rest.split_at_checked(length)?;
    Some((str::from_utf8(module).ok()?, str::from_utf8(tree).ok()?))
}

/// Every module and tree that there is, in no order.
pub(super) fn all(database: &sled::Db) -> impl Iterator<Item = (String, String)> {
    database.tree_names().into_iter().filter_map(|name| {
        let (module, tree) = parts(&name)?;
        Some((module.to_owned(), tree.to_owned()))
    })
}

/// The pages of one tree, with their keys, in key order. Ends after its first error: the last item
/// of a tree whose pages are not all those that were written is one.
pub struct Pages {
    guard: Guard,
    place: Place,
    /// What the pages must add up to.
    wanted: Option<Sum>,
    found: Sum,
}

enum Place {
    /// Not even opened, with the reason.
    Failed(StoreError),
    At(Box<sled::Iter>),
    Over,
}

impl Pages {
    pub(super) fn new(database: &sled::Db, guard: &Guard, name: &[u8]) -> Self {
        let mut wanted = None;
        let place = if database.tree_names().iter().any(|tree| tree == name) {
            let opened = guard.run("read", || {
                let tree = database.open_tree(name)?;
                Ok((tree.get(SUM_KEY)?, tree.iter()))
            });
            match opened {
                Ok((sum, iter)) => {
                    wanted = sum.and_then(|sum| Sum::decode(&sum));
                    Place::At(Box::new(iter))
                }
                Err(error) => Place::Failed(error),
            }
        } else {
            Place::Over
        };
        Self {
            guard: guard.clone(),
            place,
            wanted,
            found: Sum::default(),
        }
    }
}

impl Iterator for Pages {
    /// A key and its page.
    type Item = Result<(Vec<u8>, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut iter = match std::mem::replace(&mut self.place, Place::Over) {
                Place::Failed(error) => return Some(Err(error)),
                Place::Over => return None,
                Place::At(iter) => iter,
            };
            match self.guard.run("read", || iter.next().transpose()) {
                Err(error) => return Some(Err(error)),
                // A tree that was opened and never written to has no sum.
                Ok(None) if self.wanted.unwrap_or_default() == self.found => return None,
                Ok(None) => return Some(Err(self.guard.incomplete())),
                Ok(Some((key, entry))) => {
                    if let Some(key) = caller_key(&key) {
                        let Some(page) = unpack(&entry) else {
                            return Some(Err(self.guard.incomplete()));
                        };
                        self.found.add(Sum::of(key, &entry));
                        self.place = Place::At(iter);
                        return Some(Ok((key.to_vec(), page)));
                    }
                    self.place = Place::At(iter);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{name, parts};
    use proptest::{prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn a_name_gives_back_its_parts(module: String, tree: String) {
            let name = name(&module, &tree);
            prop_assert_eq!(parts(&name), Some((module.as_str(), tree.as_str())));
        }

        #[test]
        fn any_name_is_read_without_panic(bytes: Vec<u8>) {
            if let Some((module, tree)) = parts(&bytes) {
                prop_assert_eq!(name(module, tree), bytes);
            }
        }
    }

    #[test]
    fn the_trees_of_sled_are_not_ours() {
        assert_eq!(parts(b"__sled__default"), None);
    }
}
