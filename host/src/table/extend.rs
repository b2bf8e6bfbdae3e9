//! Rows that get columns at their end, page by page.
//!
//! A large table takes a while, and an upgrade runs with the node at rest. So the pages are extended before it, anywhere, from
//! shared ones ([`Extending`]); the upgrade itself takes over what it finds and extends only pages that were written since. A page
//! is known by its memory, which a write never changes while it is shared. The rows are the same either way.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use interstice_abi::schema::{ModuleSchema, TableSchema};

use super::{Tables, key_bytes::KeyBytes, page::Page, pages::Pages};
use crate::schema::added_value;

/// Pages that are to be extended.
#[derive(Debug, Default)]
pub struct Extending(BTreeMap<String, Sources>);

/// Pages of a table, shared with it.
#[derive(Debug)]
struct Sources {
    added: Vec<u8>,
    page_bytes: usize,
    pages: Vec<Arc<Page>>,
}

/// Pages that were extended.
#[derive(Debug, Default)]
pub struct Extended(BTreeMap<String, ExtendedTable>);

/// Extended pages of a table.
#[derive(Debug)]
pub(super) struct ExtendedTable {
    added: Vec<u8>,
    page_bytes: usize,
    /// By the address of the page that they come from, which is kept so that no other one gets it.
    pages: HashMap<usize, (Arc<Page>, Vec<Arc<Page>>)>,
}

impl Tables {
    /// The pages that a move to `new` will extend. Copies nothing.
    #[must_use]
    pub fn extending(&self, new: &ModuleSchema) -> Extending {
        let mut extending = Extending::default();
        for table in self.declared_tables().filter(|table| table.is_kept()) {
            let Some((_, schema)) = new.table(&table.name) else {
                continue;
            };
            let added = added_columns(schema, table.columns.len());
            if !added.is_empty() {
                let sources = Sources {
                    added,
                    page_bytes: table.pages.page_bytes(),
                    pages: table.pages.shared(),
                };
                extending.0.insert(table.name.clone(), sources);
            }
        }
        extending
    }
}

impl Extending {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Extends the pages. Takes time in proportion to the rows.
    #[must_use]
    pub fn run(self) -> Extended {
        let table = |sources: Sources| {
            let Sources {
                added,
                page_bytes,
                pages,
            } = sources;
            let pages = pages.into_iter().map(|page| {
                let extended = extended(&page, &added, page_bytes);
                (address(&page), (page, extended))
            });
            ExtendedTable {
                pages: pages.collect(),
                added,
                page_bytes,
            }
        };
        let tables = self.0.into_iter();
        Extended(
            tables
                .map(|(name, sources)| (name, table(sources)))
                .collect(),
        )
    }
}

impl Extended {
    /// The pages of the table of this name.
    pub(super) fn of(&self, table: &str) -> Option<&ExtendedTable> {
        self.0.get(table)
    }
}

/// The pages of `from` with `added` behind each row, of those that are known already where they are the same.
pub(super) fn extend(
    from: &Pages,
    added: &[u8],
    page_bytes: usize,
    known: Option<&ExtendedTable>,
) -> Pages {
    let known = known.filter(|known| known.added == added && known.page_bytes == page_bytes);
    let mut to = Pages::new(page_bytes);
    from.each(|bound, page| {
        let prepared = known.and_then(|known| known.pages.get(&address(&page)));
        let extended = match prepared {
            Some((_, pages)) => pages.clone(),
            None => extended(&page, added, page_bytes),
        };
        for (number, page) in extended.into_iter().enumerate() {
            let bound = match number {
                0 => bound.clone(),
                _ => KeyBytes::from(page.key(0)),
            };
            to.add(bound, page);
        }
    });
    to
}

/// A page with `added` behind each row, in as many pages as that takes.
fn extended(page: &Page, added: &[u8], page_bytes: usize) -> Vec<Arc<Page>> {
    let (mut done, mut open) = (Vec::new(), Page::default());
    let mut longer = Vec::new();
    for (key, row) in page.rows(0) {
        longer.clear();
        longer.extend_from_slice(row);
        longer.extend_from_slice(added);
        if open.len() > 0 && open.size() + Page::size_of(key, &longer) > page_bytes {
            done.push(Arc::new(std::mem::take(&mut open)));
        }
        open.insert(open.len(), key, &longer);
    }
    if open.len() > 0 {
        done.push(Arc::new(open));
    }
    done
}

/// The bytes that rows of `columns` columns get behind them.
pub(super) fn added_columns(schema: &TableSchema, columns: usize) -> Vec<u8> {
    let added = schema.fields.iter().skip(columns);
    added.filter_map(added_value).flatten().copied().collect()
}

fn address(page: &Arc<Page>) -> usize {
    Arc::as_ptr(page).addr()
}
