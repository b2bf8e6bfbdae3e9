//! The long part of a move to another schema, done before it: rows get their added columns, and
//! new indexes are filled.
//!
//! A large table takes a while, and an upgrade runs with the node at rest. So the work is done
//! before that, on any thread, on pages that are shared with the tables ([`Preparing`]); the
//! upgrade only catches up with pages that were written since ([`Prepared`]). A page is known by
//! its memory, which a write never changes while it is shared. Rows, indexes and what is found to
//! speak against the move are the same as without it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use interstice_abi::{codec::Damaged, schema::ModuleSchema, walk::Layout};

use super::{
    Tables,
    extend::{added_columns, extended},
    index::Filling,
    one::{Reading, Table},
    page::Page,
};

/// What is to be done before a move.
#[derive(Debug, Default)]
pub struct Preparing {
    /// Empty tables of the schema that is moved to.
    next: Option<Tables>,
    tables: BTreeMap<String, Sources>,
}

/// A table's part.
#[derive(Debug)]
struct Sources {
    prepared: PreparedTable,
    /// Shared with the table.
    pages: Vec<Arc<Page>>,
}

/// What was done before a move.
#[derive(Debug, Default)]
pub struct Prepared {
    next: Option<Tables>,
    tables: BTreeMap<String, PreparedTable>,
    /// What moves have left of tables.
    left: Vec<Table>,
}

/// What was done for a table.
#[derive(Debug)]
pub(super) struct PreparedTable {
    /// What its rows get behind them.
    added: Vec<u8>,
    page_bytes: usize,
    /// The pages that were worked off, with what they become where rows get something behind them.
    /// By their address; they are kept so that no other page gets it.
    pages: HashMap<usize, (Arc<Page>, Vec<Arc<Page>>)>,
    /// Filled indexes, by their number in the table's next version.
    indexes: BTreeMap<usize, Filling>,
}

impl Tables {
    /// The long part of a move to `new`. Copies nothing.
    #[must_use]
    pub fn preparing(&self, new: &Arc<ModuleSchema>) -> Preparing {
        let Ok(next) = Self::new(Arc::clone(new), self.limits) else {
            return Preparing::default();
        };
        let mut tables = BTreeMap::new();
        for old in self.declared_tables().filter(|table| table.is_kept()) {
            let Some((id, schema)) = new.table(&old.name) else {
                continue;
            };
            let Some(table) = next.tables.get(usize::from(id.0)) else {
                continue;
            };
            let added = added_columns(schema, old.columns.len());
            let indexes = new_indexes(old, table);
            if added.is_empty() && indexes.is_empty() {
                continue;
            }
            let prepared = PreparedTable {
                added,
                page_bytes: old.pages.page_bytes(),
                pages: HashMap::new(),
                indexes,
            };
            let pages = old.pages.shared();
            tables.insert(old.name.clone(), Sources { prepared, pages });
        }
        Preparing {
            next: Some(next),
            tables,
        }
    }
}

/// Indexes of `table` that `old` does not have, and those that become unique, which takes a look
/// at every row, too.
fn new_indexes(old: &Table, table: &Table) -> BTreeMap<usize, Filling> {
    let is_new = |index: &&super::one::FieldIndex| {
        let same = |known: &&super::one::FieldIndex| known.field == index.field;
        let mut known = old.indexes.iter().filter(same);
        let is_there = known.clone().any(|known| known.kind == index.kind);
        !is_there || index.unique && !known.any(|known| known.unique)
    };
    let indexes = table.indexes.iter().enumerate();
    let new = indexes.filter(|(_, index)| is_new(index));
    new.map(|(number, index)| (number, Filling::new(index.kind)))
        .collect()
}

impl Preparing {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Does it. Takes time in proportion to the rows.
    #[must_use]
    pub fn run(self) -> Prepared {
        let mut done = Prepared {
            next: self.next,
            ..Prepared::default()
        };
        let Some(next) = &done.next else {
            return done;
        };
        for (
            name,
            Sources {
                mut prepared,
                pages,
            },
        ) in self.tables
        {
            if let Some(table) = table_of(next, &name) {
                prepared.work_off(table, &next.layout, pages);
                done.tables.insert(name, prepared);
            }
        }
        done
    }
}

fn table_of<'a>(tables: &'a Tables, name: &str) -> Option<&'a Table> {
    let (id, _) = tables.schema.table(name)?;
    tables.tables.get(usize::from(id.0))
}

impl Prepared {
    /// Takes in what has been written to `old` since. What does not belong to a move of `old` to
    /// `new` is given up.
    pub(super) fn catch_up(&mut self, old: &Tables, new: &ModuleSchema) {
        let Self { next, tables, .. } = self;
        let next = next.as_ref().filter(|next| *next.schema == *new);
        // Freeing what is given up takes long, but it is rare that anything is.
        tables.retain(|name, prepared| {
            let known = next.and_then(|next| Some((next, table_of(next, name)?)));
            match (known, table_of(old, name), new.table(name)) {
                (Some((next, table)), Some(old), Some((_, schema)))
                    if prepared.extends_by(
                        &added_columns(schema, old.columns.len()),
                        old.pages.page_bytes(),
                    ) =>
                {
                    prepared.catch_up(table, &next.layout, old.pages.shared());
                    true
                }
                _ => false,
            }
        });
    }

    /// How many rows have a value that an earlier one has, in the index of this number; `None`
    /// where it was not filled.
    pub(super) fn doubles(&self, table: &str, index: usize) -> Option<u64> {
        let filling = self.tables.get(table)?.indexes.get(&index)?;
        Some(filling.doubles())
    }

    /// What was done for the table of this name.
    pub(super) fn of(&mut self, table: &str) -> Option<&mut PreparedTable> {
        self.tables.get_mut(table)
    }

    /// Keeps what a move has left of a table, to be freed with this.
    pub(super) fn leave(&mut self, table: Table) {
        self.left.push(table);
    }
}

impl PreparedTable {
    /// Whether its rows get these bytes behind them, in pages of that size.
    pub(super) fn extends_by(&self, added: &[u8], page_bytes: usize) -> bool {
        self.added == added && self.page_bytes == page_bytes
    }

    /// What a page has become.
    pub(super) fn extended(&self, page: &Arc<Page>) -> Option<&[Arc<Page>]> {
        let (_, extended) = self.pages.get(&address(page))?;
        Some(extended)
    }

    /// The filled index of this number.
    pub(super) fn take_index(&mut self, number: usize) -> Option<Filling> {
        self.indexes.remove(&number)
    }

    /// Makes this what it would be had it begun with `pages`.
    fn catch_up(&mut self, table: &Table, layout: &Layout, pages: Vec<Arc<Page>>) {
        let here: HashSet<usize> = pages.iter().map(address).collect();
        let gone = self.pages.extract_if(|address, _| !here.contains(address));
        let gone: Vec<Arc<Page>> = gone.map(|(_, (page, _))| page).collect();
        // Before the others come: a row that was written is in a page of either.
        for page in gone {
            self.enter(table, layout, &page, Filling::remove);
        }
        self.work_off(table, layout, pages);
    }

    fn work_off(&mut self, table: &Table, layout: &Layout, pages: Vec<Arc<Page>>) {
        for page in pages {
            if self.pages.contains_key(&address(&page)) {
                continue;
            }
            self.enter(table, layout, &page, Filling::add);
            let extended = match self.added.as_slice() {
                [] => Vec::new(),
                added => extended(&page, added, self.page_bytes),
            };
            self.pages.insert(address(&page), (page, extended));
        }
    }

    /// Enters a page's rows into every index, or takes them out. Where a row cannot be read
    /// nothing is prepared: the move sees to it.
    fn enter(
        &mut self,
        table: &Table,
        layout: &Layout,
        page: &Page,
        change: impl Fn(&mut Filling, &[u8], usize, Option<&[u8]>),
    ) {
        if self.indexes.is_empty() {
            return;
        }
        let Self { added, indexes, .. } = self;
        let mut reading = Reading::default();
        let mut longer = Vec::new();
        let mut enter = |row: &[u8]| -> Result<(), Damaged> {
            longer.clear();
            longer.extend_from_slice(row);
            longer.extend_from_slice(added);
            table.read(layout, &longer, &mut reading)?;
            for (number, filling) in indexes.iter_mut() {
                let (place, value) = reading.place(*number);
                let none = table.indexes.get(*number).and_then(|index| index.none);
                change(filling, place, value, none);
            }
            Ok(())
        };
        if page.rows(0).try_for_each(|(_, row)| enter(row)).is_err() {
            self.indexes.clear();
        }
    }
}

fn address(page: &Arc<Page>) -> usize {
    Arc::as_ptr(page).addr()
}
