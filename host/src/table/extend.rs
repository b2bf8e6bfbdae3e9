//! Rows that get columns at their end, page by page.
//!
//! Pages that were extended before, while the tables were in use, are taken as they are
//! (`prepare.rs`); the others are extended here.

use std::sync::Arc;

use interstice_abi::schema::TableSchema;

use super::{key_bytes::KeyBytes, page::Page, pages::Pages, prepare::PreparedTable};
use crate::schema::added_value;

/// The pages of `from` with `added` behind each row, of those that are known already where they
/// are the same.
pub(super) fn extend(
    from: &Pages,
    added: &[u8],
    page_bytes: usize,
    known: Option<&PreparedTable>,
) -> Pages {
    let known = known.filter(|known| known.extends_by(added, page_bytes));
    let mut to = Pages::new(page_bytes);
    from.each(|bound, page| {
        let extended = match known.and_then(|known| known.extended(&page)) {
            Some(pages) => pages.to_vec(),
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
pub(super) fn extended(page: &Page, added: &[u8], page_bytes: usize) -> Vec<Arc<Page>> {
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
