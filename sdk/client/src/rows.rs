//! A table's rows, page by page.

use futures::{Stream, stream};
use interstice_abi::{
    fingerprint::Fingerprint,
    wire::{ROWS_PER_PAGE_MAX, RequestBody, ResponseBody, RowFilter, RowsPage},
};

use crate::{Client, Error, answer::unexpected};

/// Rows per page when all are wanted: enough to fill a write, few enough to begin soon.
const PAGE_ROWS: u32 = 1000;

impl Client {
    /// A page of at most `limit` rows in key order. Without `after` it begins a reading; with the
    /// [`RowsPage::next`] of the page before, the reading goes on, and `table` and `filter` stay
    /// what they were. All pages of a reading show the table at the turn of its first page.
    ///
    /// The node keeps what is left of a reading for its connection, at most 8 at a time, and a
    /// minute from page to page. Each page is read once.
    ///
    /// # Errors
    /// [`Error::Failed`]: `NotFound` for a reading that has ended, `Busy` when too much is being
    /// read. [`Error::Lost`].
    pub async fn rows(
        &self,
        module: &str,
        table: &str,
        after: Option<Vec<u8>>,
        limit: u32,
        filter: Option<RowFilter>,
    ) -> Result<RowsPage, Error> {
        self.any_rows((module, table), after, limit, filter, None)
            .await
    }

    /// As [`Client::rows`], for rows that are decoded, and a filter whose value was encoded, by a
    /// type with this fingerprint.
    ///
    /// # Errors
    /// As [`Client::rows`]; `SchemaConflict` where the table has rows of another type.
    pub async fn rows_as(
        &self,
        named: (&str, &str),
        after: Option<Vec<u8>>,
        limit: u32,
        filter: Option<RowFilter>,
        row_type: Fingerprint,
    ) -> Result<RowsPage, Error> {
        self.any_rows(named, after, limit, filter, Some(row_type))
            .await
    }

    async fn any_rows(
        &self,
        (module, table): (&str, &str),
        after: Option<Vec<u8>>,
        limit: u32,
        filter: Option<RowFilter>,
        row_type: Option<Fingerprint>,
    ) -> Result<RowsPage, Error> {
        let body = RequestBody::RowsAs {
            module: module.to_string(),
            table: table.to_string(),
            after,
            limit: limit.min(ROWS_PER_PAGE_MAX),
            filter,
            row_type,
        };
        match self.ask(body).await? {
            ResponseBody::Rows(page) => Ok(page),
            other => Err(unexpected("rows", &other)),
        }
    }

    /// All pages of one reading, each asked for when the one before has been taken: the table at
    /// one turn.
    pub fn pages(
        &self,
        module: &str,
        table: &str,
        filter: Option<RowFilter>,
    ) -> impl Stream<Item = Result<RowsPage, Error>> + Send + use<> {
        let (client, module, table) = (self.clone(), module.to_string(), table.to_string());
        stream::try_unfold(Next::First, move |next| {
            let (client, module, table, filter) = (
                client.clone(),
                module.clone(),
                table.clone(),
                filter.clone(),
            );
            async move {
                let after = match next {
                    Next::First => None,
                    Next::After(key) => Some(key),
                    Next::End => return Ok(None),
                };
                let page = client
                    .rows(&module, &table, after, PAGE_ROWS, filter)
                    .await?;
                let next = page.next.clone().map_or(Next::End, Next::After);
                Ok(Some((page, next)))
            }
        })
    }
}

/// Where the next page begins.
enum Next {
    First,
    After(Vec<u8>),
    End,
}
